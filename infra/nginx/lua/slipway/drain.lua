local _M = {}

local dict = ngx.shared.maintenance

function _M.on()
    return dict:get("draining") == true
end

function _M.put(value)
    if type(value) ~= "table" or type(value.on) ~= "boolean" then
        return nil, "expected an object with on"
    end
    return dict:set("draining", value.on)
end

-- While the next edge takes the new connections, every connection here is answered once more and
-- closed with that answer: a location of its own, because only a location can refuse to keep one.
function _M.close_after()
    local last = ngx.var.edge_last
    if last ~= "" and _M.on() then
        ngx.var.edge_last = ""
        return ngx.exec(last)
    end
end

return _M
