local cjson = require "cjson.safe"
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

function _M.answer()
    ngx.header.content_type = "application/json"
    if ngx.req.get_method() == "PUT" then
        ngx.req.read_body()
        local stored, why = peers.put(cjson.decode(ngx.req.get_body_data() or ""))
        if not stored then
            ngx.status = ngx.HTTP_BAD_REQUEST
            ngx.say(cjson.encode({ error = why }))
            return
        end
    end
    local list = peers.active()
    ngx.say('{"generation":', list.generation, ',"ready":', list.ready,
        ',"addresses":', array(list.addresses), ',"in_flight":', in_flight(), '}')
end

return _M
