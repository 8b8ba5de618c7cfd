local balancer = require "ngx.balancer"
local in_flight = require "slipway.in_flight"
local peers = require "slipway.peers"

local _M = {}

-- NGX_BUSY: "no live upstream", which NGINX answers with 502.
local BUSY = -3

local function least_loaded(list, tried)
    local best, fewest
    local untried, count = 0, #list.addresses
    -- From a random place: equals share the load also when it is light.
    local first = count > 0 and math.random(count) or 0
    for step = 1, count do
        local address = list.addresses[(first + step) % count + 1]
        if not tried[address] then
            untried = untried + 1
            local number = in_flight.of(list.generation .. " " .. address)
            if not fewest or number < fewest then
                best, fewest = address, number
            end
        end
    end
    return best, untried
end

-- Gives back what the request's last attempt counted, once, however the attempt ended.
function _M.release()
    local key = ngx.var.edge_peer
    if key and key ~= "" then
        ngx.var.edge_peer = ""
        in_flight.down(key)
    end
end

function _M.pick()
    _M.release()
    local tried = ngx.ctx.tried or {}
    ngx.ctx.tried = tried

    local list, address, untried, key
    repeat
        if key then
            in_flight.down(key)
        end
        list = peers.chosen()
        if not list then
            return ngx.exit(BUSY)
        end
        address, untried = least_loaded(list, tried)
        if not address then
            -- NGINX comes back after the last peer only when a kept connection broke;
            -- a new connection to the same peer is then the first real attempt.
            address, untried = least_loaded(list, {}), 0
        end
        if not address then
            return ngx.exit(BUSY)
        end
        key = list.generation .. " " .. address
        in_flight.up(key)
        -- Counted first, compared after: once a new list is acknowledged,
        -- nobody can still begin on the old one without being counted.
    until peers.is_current(list)

    ngx.var.edge_peer = key
    ngx.var.edge_generation = list.generation
    tried[address] = true
    if untried > 1 then
        balancer.set_more_tries(1)
    end

    local host, port = address:match("^(.*):(%d+)$")
    local set, why = balancer.set_current_peer(host, tonumber(port))
    if not set then
        ngx.log(ngx.ERR, "peer ", address, " cannot be used: ", why)
        return ngx.exit(BUSY)
    end
end

return _M
