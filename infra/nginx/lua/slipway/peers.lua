local cjson = require "cjson.safe"

local _M = {}

local ACTIVE, CANDIDATE, PASS = "active", "candidate", "pass"
local NONE = "0 0"
local dict = ngx.shared.peers
local cached = {}

local function parse(key, raw)
    local words = {}
    for word in raw:gmatch("%S+") do
        words[#words + 1] = word
    end
    return {
        key = key,
        raw = raw,
        generation = words[1],
        ready = tonumber(words[2]),
        addresses = { unpack(words, 3) },
    }
end

-- One string under one key: a worker sees the old list or the new one, never a mixture.
local function read(key)
    local raw = dict:get(key) or NONE
    if not cached[key] or cached[key].raw ~= raw then
        cached[key] = parse(key, raw)
    end
    return cached[key]
end

function _M.active()
    return read(ACTIVE)
end

function _M.candidate()
    return read(CANDIDATE)
end

-- The list for this request; nil for one that asks for a candidate that it has no pass to. It must
-- not get the active generation instead: who proves a candidate would believe what that answers.
function _M.chosen()
    local pass = ngx.var.http_x_slipway_candidate
    if not pass then
        return read(ACTIVE)
    end
    if pass ~= dict:get(PASS) then
        return nil
    end
    return read(CANDIDATE)
end

function _M.is_current(list)
    return (dict:get(list.key) or NONE) == list.raw
end

local function put(key, value)
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
    local stored, why = dict:set(key, table.concat(words, " "))
    if not stored then
        return nil, why
    end
    return true
end

function _M.put(value)
    local done, why = put(ACTIVE, value)
    if done and read(ACTIVE).generation == read(CANDIDATE).generation then
        -- It serves everybody by now.
        dict:delete(PASS)
    end
    return done, why
end

-- Reached with the pass alone, which goes first and comes last.
function _M.put_candidate(value)
    dict:delete(PASS)
    local done, why = put(CANDIDATE, value)
    if not done then
        return done, why
    end
    if type(value.pass) ~= "string" or #value.pass < 32 then
        return nil, "pass must be a string of 32 letters at least"
    end
    return dict:set(PASS, value.pass)
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
