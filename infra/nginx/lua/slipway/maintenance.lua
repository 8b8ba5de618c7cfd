local cjson = require "cjson.safe"

local _M = {}

local STATE = "state"
local dict = ngx.shared.maintenance
local cached = { raw = false }

-- The state, or nil while requests are let in.
function _M.state()
    local raw = dict:get(STATE)
    if raw ~= cached.raw then
        cached = { raw = raw, value = raw and cjson.decode(raw) or nil }
    end
    return cached.value
end

-- Whoever releases must be able to look behind the page.
function _M.keeps_out()
    local state = _M.state()
    return state ~= nil and ngx.var.http_x_slipway_maintenance ~= state.pass
end

function _M.put(value)
    if type(value) ~= "table" or type(value.on) ~= "boolean" then
        return nil, "expected an object with on, and when on with message, since and pass"
    end
    if not value.on then
        dict:delete(STATE)
        return true
    end
    if type(value.message) ~= "string" or type(value.pass) ~= "string" or #value.pass < 32 then
        return nil, "message and pass must be strings, and the pass of 32 letters at least"
    end
    local stored, why = dict:set(STATE, cjson.encode(value))
    if not stored then
        return nil, why
    end
    return true
end

function _M.load(path)
    local file = io.open(path)
    if not file then
        return
    end
    local value = cjson.decode(file:read("*a"))
    file:close()
    local stored, why = _M.put(value)
    if not stored then
        ngx.log(ngx.ERR, "the maintenance state in ", path, " cannot be read: ", why)
    end
end

return _M
