local drain = require "slipway.drain"
local maintenance = require "slipway.maintenance"
local peers = require "slipway.peers"

local _M = {}

function _M.check()
    drain.close_after()
    if maintenance.keeps_out() then
        ngx.var.edge_refusal = "maintenance"
        return ngx.exit(ngx.HTTP_SERVICE_UNAVAILABLE)
    end
    local list = peers.chosen()
    if not list then
        return ngx.exit(ngx.HTTP_FORBIDDEN)
    end
    if #list.addresses == 0 then
        if list.generation ~= "0" then
            ngx.var.edge_generation = list.generation
        end
        return ngx.exit(ngx.HTTP_SERVICE_UNAVAILABLE)
    end
end

return _M
