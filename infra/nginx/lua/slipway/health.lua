local peers = require "slipway.peers"

local _M = {}

function _M.answer()
    local list = peers.active()
    if list.ready == 0 or #list.addresses == 0 then
        return ngx.exit(ngx.HTTP_SERVICE_UNAVAILABLE)
    end
    ngx.header.content_type = "application/json"
    ngx.say('{"status":"serving"}')
end

return _M
