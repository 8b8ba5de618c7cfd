local _M = {}

local dict = ngx.shared.figures
-- Seconds; what took at most as long is counted under the bound.
local BOUNDS = { "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "60", "inf" }
local NUMBERS = {}
for index, bound in ipairs(BOUNDS) do
    NUMBERS[index] = bound == "inf" and math.huge or tonumber(bound)
end
-- Older generations are forgotten: an edge may live through hundreds.
local GENERATIONS_KEPT = 16

-- A stream lasts as long as it has something to say: what its caller waits for is its beginning.
function _M.began()
    if ngx.var.upstream_http_x_accel_buffering == "no" then
        ngx.ctx.waited = ngx.now() - ngx.req.start_time()
    end
end

-- The last part of an answer has passed; one that breaks off in the middle never has one.
function _M.passed()
    if ngx.arg[2] then
        ngx.ctx.whole = true
    end
end

local function broke_off(status)
    if ngx.ctx.whole or status == 204 or status == 304 or ngx.req.get_method() == "HEAD" then
        return false
    end
    -- Empty when the caller hung up first.
    return ngx.var.request_completion == "OK"
end

local function bucket(seconds)
    for index, bound in ipairs(NUMBERS) do
        if seconds <= bound then
            return BOUNDS[index]
        end
    end
end

-- Once per request, by its final answer, however many backends were tried.
function _M.count()
    local generation = ngx.var.edge_generation
    if not generation or generation == "" then
        return
    end
    local status = ngx.status
    local seconds = ngx.ctx.waited or tonumber(ngx.var.request_time) or 0
    dict:incr(generation .. " requests", 1, 0)
    dict:incr(generation .. " seconds", seconds, 0)
    dict:incr(generation .. " " .. bucket(seconds), 1, 0)
    if status >= 500 or broke_off(status) then
        dict:incr(generation .. " failed", 1, 0)
    end
    if status == 503 and ngx.var.upstream_http_retry_after then
        dict:incr(generation .. " busy", 1, 0)
    end
end

local function of(generation)
    local buckets, sum = {}, 0
    for _, bound in ipairs(BOUNDS) do
        sum = sum + (dict:get(generation .. " " .. bound) or 0)
        buckets[bound] = sum
    end
    return {
        requests = dict:get(generation .. " requests") or 0,
        failed = dict:get(generation .. " failed") or 0,
        busy = dict:get(generation .. " busy") or 0,
        seconds = dict:get(generation .. " seconds") or 0,
        buckets = buckets,
    }
end

_M.BOUNDS = BOUNDS

function _M.all()
    local all = {}
    for _, key in ipairs(dict:get_keys(0)) do
        local generation = key:match("^(%S+) requests$")
        if generation then
            all[generation] = of(generation)
        end
    end
    return all
end

function _M.forget(newest)
    for _, key in ipairs(dict:get_keys(0)) do
        if tonumber(key:match("^(%d+)")) <= newest - GENERATIONS_KEPT then
            dict:delete(key)
        end
    end
end

return _M
