local cjson = require "cjson.safe"
local maintenance = require "slipway.maintenance"

local _M = {}

local PROBLEMS = {
    [400] = { "Bad Request", "The request cannot be read. Check its first line, its headers and that it was sent with HTTPS." },
    [403] = { "Forbidden", "This is not allowed here." },
    [404] = { "Not Found", "There is nothing at this address." },
    [405] = { "Method Not Allowed", "This address does not answer this method." },
    [408] = { "Request Timeout", "The request did not arrive in time. Send it again." },
    [413] = { "Content Too Large", "The request is larger than this address takes. Split it or send a smaller one." },
    [414] = { "URI Too Long", "The address is too long. Move what it carries into the body." },
    [429] = { "Too Many Requests", "Too many requests or connections from this address. Wait as long as Retry-After says." },
    [431] = { "Request Header Fields Too Large", "The headers are larger than this server takes." },
    [500] = { "Internal Server Error", "The edge failed to handle this request. The request id names it in the log." },
    [502] = { "Bad Gateway", "No backend could answer this request. Send it again after the time in Retry-After." },
    [503] = { "Service Unavailable", "No backend is ready. Send the request again after the time in Retry-After." },
    [504] = { "Gateway Timeout", "The backend did not answer in time. Send the request again after the time in Retry-After." },
}

local MAINTENANCE = "This service is under maintenance. Send the request again after the time in Retry-After."

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

local PAGE = [[<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="60"><title>Maintenance</title>
<style>body{font:1.1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:20vh auto;padding:0 1rem}</style>
</head><body><h1>Maintenance</h1><p>%s</p><p>This page looks again by itself every minute.</p></body></html>
]]

local function wants_page()
    local accept = ngx.var.http_accept or ""
    return accept:find("text/html", 1, true) ~= nil
end

local function send(content_type, body)
    ngx.header.content_type = content_type
    ngx.header.content_length = #body
    ngx.print(body)
end

function _M.answer()
    local status = ngx.status
    local problem = PROBLEMS[status] or { "Error", "The request failed." }
    local title, detail = problem[1], problem[2]
    if ngx.var.edge_refusal == "maintenance" then
        local state = maintenance.state()
        title = "Maintenance"
        detail = state and state.message ~= "" and state.message or MAINTENANCE
        ngx.header.cache_control = "no-store"
        if wants_page() then
            local text = detail:gsub('[&<>"]', ENTITIES)
            -- A function, so that a % in the text stays.
            local page = PAGE:gsub("%%s", function() return text end, 1)
            return send("text/html; charset=utf-8", page)
        end
    end
    send("application/problem+json", cjson.encode({
        type = "about:blank",
        title = title,
        status = status,
        detail = detail,
        request_id = ngx.var.edge_request_id,
    }))
end

return _M
