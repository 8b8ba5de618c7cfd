local ssl = require "ngx.ssl"

local _M = {}

local CHAIN, KEY = "/run/secrets/tls.crt", "/run/secrets/tls.key"
local current
local seen = {}
local next_look = 0

local function read(path)
    local file, why = io.open(path)
    if not file then
        return nil, why
    end
    local text = file:read("*a")
    file:close()
    return text
end

local function parse(chain_text, key_text)
    local chain, chain_error = ssl.parse_pem_cert(chain_text)
    if not chain then
        return nil, CHAIN .. ": " .. tostring(chain_error)
    end
    local key, key_error = ssl.parse_pem_priv_key(key_text)
    if not key then
        return nil, KEY .. ": " .. tostring(key_error)
    end
    return { chain = chain, key = key }
end

local function use(pair)
    local cleared, why = ssl.clear_certs()
    if not cleared then
        return nil, why
    end
    local set
    set, why = ssl.set_cert(pair.chain)
    if not set then
        return nil, why
    end
    return ssl.set_priv_key(pair.key)
end

-- Once a second at most: two small files, compared by content, are cheaper than any watch.
local function changed()
    if ngx.now() < next_look then
        return nil
    end
    next_look = ngx.now() + 1
    local chain, chain_error = read(CHAIN)
    local key, key_error = read(KEY)
    if not chain or not key then
        return nil, chain_error or key_error
    end
    if chain == seen.chain and key == seen.key then
        return nil
    end
    seen = { chain = chain, key = key }
    return parse(chain, key)
end

function _M.present()
    local pair, why = changed()
    if pair then
        local used
        used, why = use(pair)
        if used then
            current = pair
            return
        end
    end
    if why then
        ngx.log(ngx.ERR, "the certificate on disk is not used: ", why)
    end
    -- Chain and key are two files: between the two writes, and after a wrong one, the last good pair goes on.
    if not current then
        return ngx.exit(ngx.ERROR)
    end
    local used
    used, why = use(current)
    if not used then
        ngx.log(ngx.ERR, "the certificate cannot be presented: ", why)
        return ngx.exit(ngx.ERROR)
    end
end

return _M
