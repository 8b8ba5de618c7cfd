local _M = {}

local total = ngx.shared.in_flight
-- The same counts per worker process: what a crashed worker can no longer give back.
local of_worker = ngx.shared.in_flight_of_worker

local function add(key, number)
    total:incr(key, number, 0)
    of_worker:incr(ngx.worker.pid() .. " " .. key, number, 0)
end

function _M.up(key)
    add(key, 1)
end

function _M.down(key)
    add(key, -1)
end

function _M.of(key)
    return total:get(key) or 0
end

local function alive(pid)
    local file = io.open("/proc/" .. pid .. "/stat")
    if file then
        file:close()
    end
    return file ~= nil
end

-- Called when a worker starts, which also happens after another one crashed.
function _M.settle()
    for _, entry in ipairs(of_worker:get_keys(0)) do
        local pid, key = entry:match("^(%d+) (.*)$")
        if not alive(pid) then
            local count = of_worker:get(entry) or 0
            -- Only the one of two workers that brings the entry to zero may settle it.
            if count > 0 and of_worker:incr(entry, -count) == 0 then
                total:incr(key, -count, 0)
            end
            of_worker:delete(entry)
        end
    end
end

return _M
