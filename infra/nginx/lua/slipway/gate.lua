local peers = require "slipway.peers"

local _M = {}

function _M.check()
    if #peers.active().addresses == 0 then
        return ngx.exit(ngx.HTTP_SERVICE_UNAVAILABLE)
    end
end

return _M
