local cjson = require "cjson.safe"

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

function _M.answer()
    local status = ngx.status
    local problem = PROBLEMS[status] or { "Error", "The request failed." }
    local body = cjson.encode({
        type = "about:blank",
        title = problem[1],
        status = status,
        detail = problem[2],
        request_id = ngx.var.edge_request_id,
    })
    ngx.header.content_type = "application/problem+json"
    ngx.header.content_length = #body
    ngx.print(body)
end

return _M
