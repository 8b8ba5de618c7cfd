local cjson = require "cjson.safe"

local _M = {}

local ACTIVE = "active"
local dict = ngx.shared.peers
local cached = { raw = false }

local function parse(raw)
    local words = {}
    for word in raw:gmatch("%S+") do
        words[#words + 1] = word
    end
    return {
        raw = raw,
        generation = words[1],
        ready = tonumber(words[2]),
        addresses = { unpack(words, 3) },
    }
end

-- One string under one key: a worker sees the old list or the new one, never a mixture.
function _M.active()
    local raw = dict:get(ACTIVE) or "0 0"
    if raw ~= cached.raw then
        cached = parse(raw)
    end
    return cached
end

function _M.is_active(list)
    return (dict:get(ACTIVE) or "0 0") == list.raw
end

function _M.put(value)
    if type(value) ~= "table" or type(value.addresses) ~= "table" then
        return nil, "expected an object with generation, ready and addresses"
    end
    local generation, ready = tonumber(value.generation), tonumber(value.ready)
    if not generation or not ready then
        return nil, "generation and ready must be numbers"
    end
    local words = { string.format("%d", generation), string.format("%d", ready) }
    for _, address in ipairs(value.addresses) do
        if type(address) ~= "string" or not address:find("^%d+%.%d+%.%d+%.%d+:%d+$") then
            return nil, "not an address with a port: " .. tostring(address)
        end
        words[#words + 1] = address
    end
    local stored, why = dict:set(ACTIVE, table.concat(words, " "))
    if not stored then
        return nil, why
    end
    return true
end

function _M.load(path)
    -- The dictionary outlives a reload and is newer than the file then.
    if dict:get(ACTIVE) then
        return
    end
    local file = io.open(path)
    if not file then
        return
    end
    local value = cjson.decode(file:read("*a"))
    file:close()
    if type(value) ~= "table" then
        ngx.log(ngx.ERR, "the list of peers in ", path, " cannot be read; the agent will put a new one")
        return
    end
    value.ready = type(value.addresses) == "table" and #value.addresses or 0
    local stored, why = _M.put(value)
    if not stored then
        ngx.log(ngx.ERR, "the list of peers in ", path, " is refused: ", why)
    end
end

return _M
