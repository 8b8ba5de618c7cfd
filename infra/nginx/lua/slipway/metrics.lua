-- What Prometheus reads: the figures of each generation, and how the edge itself is.
local figures = require "slipway.figures"
local maintenance = require "slipway.maintenance"
local peers = require "slipway.peers"

local _M = {}

local function family(name, kind, help)
    ngx.say("# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind)
end

local function counters(all)
    for _, each in ipairs({
        { "requests", "Requests that ended, by the generation that answered." },
        { "failed", "Those of them that failed: 5xx, broken off, or no backend." },
        { "busy", "Those of the failed that a backend turned away for its own limits." },
    }) do
        local name = "slipway_edge_" .. each[1] .. "_total"
        family(name, "counter", each[2])
        for generation, of in pairs(all) do
            ngx.say(name, '{generation="', generation, '"} ', of[each[1]])
        end
    end
end

local function durations(all)
    local name = "slipway_edge_duration_seconds"
    family(name, "histogram", "How long callers waited for an answer, or for the beginning of a stream.")
    for generation, of in pairs(all) do
        for _, bound in ipairs(figures.BOUNDS) do
            ngx.say(name, '_bucket{generation="', generation, '",le="', bound == "inf" and "+Inf" or bound,
                '"} ', of.buckets[bound])
        end
        ngx.say(name, '_sum{generation="', generation, '"} ', of.seconds)
        ngx.say(name, '_count{generation="', generation, '"} ', of.requests)
    end
end

local function gauge(name, help, value)
    family(name, "gauge", help)
    ngx.say(name, " ", value)
end

function _M.answer()
    ngx.header.content_type = "text/plain; version=0.0.4"
    local all, active = figures.all(), peers.active()
    counters(all)
    durations(all)
    gauge("slipway_edge_serving_generation", "The generation that gets new requests; 0 before the first.",
        active.generation)
    gauge("slipway_edge_ready_peers", "Backends of that generation that say that they are ready.", active.ready)
    gauge("slipway_edge_peers", "Backends that requests are sent to.", #active.addresses)
    gauge("slipway_edge_connections", "Connections that are open.", ngx.var.connections_active)
    gauge("slipway_edge_maintenance", "1 while callers are turned away for maintenance.",
        maintenance.state() and 1 or 0)
    family("slipway_edge_in_flight", "gauge", "Requests in flight, by backend.")
    for _, key in ipairs(ngx.shared.in_flight:get_keys(0)) do
        local generation, address = key:match("^(%S+) (%S+)$")
        ngx.say('slipway_edge_in_flight{generation="', generation, '",backend="', address, '"} ',
            ngx.shared.in_flight:get(key) or 0)
    end
end

return _M
