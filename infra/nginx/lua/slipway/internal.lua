local cjson = require "cjson.safe"
local drain = require "slipway.drain"
local figures = require "slipway.figures"
local maintenance = require "slipway.maintenance"
local peers = require "slipway.peers"

local _M = {}

local function array(words)
    -- cjson writes an empty table as an object.
    return #words == 0 and "[]" or cjson.encode(words)
end

local function in_flight()
    local counts = {}
    for _, key in ipairs(ngx.shared.in_flight:get_keys(0)) do
        local generation, address = key:match("^(%S+) (%S+)$")
        counts[generation] = counts[generation] or {}
        counts[generation][address] = ngx.shared.in_flight:get(key) or 0
    end
    return cjson.encode(counts)
end

-- Stores what is PUT; false when it was refused, which is answered then.
local function stored(put)
    if ngx.req.get_method() ~= "PUT" then
        return true
    end
    ngx.req.read_body()
    local done, why = put(cjson.decode(ngx.req.get_body_data() or ""))
    if not done then
        ngx.status = ngx.HTTP_BAD_REQUEST
        ngx.say(cjson.encode({ error = why }))
    end
    return done
end

function _M.peers()
    ngx.header.content_type = "application/json"
    local before = peers.active().generation
    if not stored(peers.put) then
        return
    end
    local list = peers.active()
    if list.generation ~= before then
        figures.forget(tonumber(list.generation))
    end
    ngx.say('{"generation":', list.generation, ',"ready":', list.ready,
        ',"addresses":', array(list.addresses), ',"in_flight":', in_flight(), '}')
end

function _M.candidate()
    ngx.header.content_type = "application/json"
    if not stored(peers.put_candidate) then
        return
    end
    local list = peers.candidate()
    ngx.say('{"generation":', list.generation, ',"addresses":', array(list.addresses), '}')
end

function _M.figures()
    ngx.header.content_type = "application/json"
    ngx.say(cjson.encode(figures.all()))
end

function _M.maintenance()
    ngx.header.content_type = "application/json"
    if stored(maintenance.put) then
        ngx.say(cjson.encode(maintenance.state() or { on = false }))
    end
end

function _M.drain()
    ngx.header.content_type = "application/json"
    if stored(drain.put) then
        ngx.say(cjson.encode({ on = drain.on() }))
    end
end

return _M
