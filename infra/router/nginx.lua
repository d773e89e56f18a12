-- Partitions for nginx with its Lua module; the lines of infra/nginx/nginx.conf that begin with #lua use it.

local balancer = require("ngx.balancer")
local partition = require("partition")

local M = {}

local EVERY_S = 1 -- until a new count is heard of
local TIMEOUT_MS = 2000
local DOWN_S = 1 -- a server that refused is asked again after so long: there are no health checks
local BOUNDS = { edges = 5000, gateways = 500 } -- of one partition under way, for each home; as in infra/haproxy

local count = partition.COUNT -- of this worker
local tiers, ids, ranked = {}, {}, { edges = {}, gateways = {} }

local function ask(address)
    local host, port = address:match("^(.*):(%d+)$")
    local socket = ngx.socket.tcp()
    socket:settimeout(TIMEOUT_MS)
    if not socket:connect(host, tonumber(port)) then
        return
    end
    socket:send("GET /internal/routing HTTP/1.1\r\nHost: " .. address .. "\r\nConnection: close\r\n\r\n")
    local told = partition.told(socket:receive("*a"))
    socket:close()
    if told and told ~= count then
        ngx.log(ngx.WARN, "partitions: ", told, ", not ", count)
        count = told
    end
    return told
end

-- `servers`: of each tier, ip:port by id. `addresses`: of internal ports, likewise numbers: nginx resolves no names here.
-- `bound`, if it is there, is that of both tiers.
function M.start(servers, addresses)
    tiers = { edges = servers.edges, gateways = servers.gateways }
    if servers.bound then
        BOUNDS = { edges = servers.bound, gateways = servers.bound }
    end
    for tier, of_tier in pairs(tiers) do
        ids[tier] = {}
        for id in pairs(of_tier) do
            table.insert(ids[tier], id)
        end
    end
    local function ask_one_that_answers()
        for _, address in ipairs(addresses) do
            if ask(address) then
                return
            end
        end
    end
    ngx.timer.at(0, ask_one_that_answers)
    ngx.timer.every(EVERY_S, ask_one_that_answers)
end

local function tier_of(path)
    return (path:find("^/comments/[^/]+/stream$") or path:find("^/streams/")) and "edges" or "gateways"
end

local function homes(tier, number)
    if not ranked[tier][number] then
        ranked[tier][number] = partition.ranked(number, ids[tier])
    end
    return ranked[tier][number]
end

-- In the phase `rewrite`, once a request: an error page comes by again.
function M.choose()
    local path = ngx.var.request_uri:match("^[^?]*")
    local video = partition.video(path)
    if ngx.var.route ~= "" or not video then
        return
    end
    local tier, number = tier_of(path), partition.of(ngx.unescape_uri(video), count)
    local under_way = ngx.shared.under_way:incr(tier .. number, 1, 0) or 1
    local rank = partition.rank(under_way - 1, BOUNDS[tier], #ids[tier])
    ngx.var.route = partition.said(number, count, rank)
end

-- In the phase `log`.
function M.done()
    local number = ngx.var.route:match("^(%d+)/")
    if number then
        ngx.shared.under_way:incr(tier_of(ngx.var.request_uri:match("^[^?]*")) .. number, -1, 0)
    end
end

-- In the phase `balancer`: the home, and after it the next ones in turn, each once. Those that refused somebody lately come
-- last, not never: they may be back, and a server tried twice would be one not tried.
function M.balance(tier)
    local number, rank = ngx.var.route:match("^(%d+)/%d+/(%d+)$")
    local order = homes(tier, tonumber(number) or math.random(0, count - 1))
    local under_way, tried = ngx.shared.under_way, ngx.ctx.tried
    if tried then
        under_way:set("down" .. tier .. order[ngx.ctx.at], true, DOWN_S)
    else
        balancer.set_more_tries(#order - 1)
        tried = {}
        ngx.ctx.tried, ngx.ctx.at = tried, tonumber(rank) or 1
    end
    local up, any
    for step = 0, #order - 1 do
        local at = (ngx.ctx.at - 1 + step) % #order + 1
        if not tried[at] then
            any = any or at
            up = up or (not under_way:get("down" .. tier .. order[at]) and at)
        end
    end
    local at = up or any or ngx.ctx.at % #order + 1 -- nginx tries once more than was asked for
    tried[at], ngx.ctx.at = true, at
    balancer.set_current_peer(tiers[tier][order[at]]:match("^(.*):(%d+)$"))
end

return M
