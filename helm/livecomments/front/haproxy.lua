-- Partitions for HAProxy (2.6 and later). INTERNAL_PORTS: host:port of internal ports, with spaces in between.
--
-- http-request lua.partition     sets txn.partition, of requests for a video
-- http-request lua.home <bound>  in a backend: sets txn.home and txn.next, names for use-server, and txn.route

local partition = require("partition")

local addresses = {}
for address in (os.getenv("INTERNAL_PORTS") or ""):gmatch("%S+") do
    addresses[#addresses + 1] = address
end
local EVERY_MS = 1000 -- until a new count is heard of
local LOOK_MS = 100 -- until a server that is up or down is ranked as that; use-server itself goes by HAProxy's own checks
local TIMEOUT_S = 2

local count = partition.COUNT
local up = {} -- by backend: which servers are up, as one text; their names, by id; and what is ranked by partition

local function look(backend)
    local names, ids = {}, {}
    for name, server in pairs(backend.servers) do
        local stats = server:get_stats()
        if tonumber(stats.bck) == 0 and stats.status:sub(1, 2) == "UP" then
            local id = tostring(server.puid or server:get_puid())
            names[id] = name
            ids[#ids + 1] = id
        end
    end
    table.sort(ids)
    local all, known = table.concat(ids, " "), up[backend.name]
    if not known or known.all ~= all then
        up[backend.name] = { all = all, ids = ids, names = names, ranked = {} }
    end
end

local function ask(address)
    local host, port = address:match("^(.*):(%d+)$")
    local socket = core.tcp()
    socket:settimeout(TIMEOUT_S)
    if not socket:connect(host, tonumber(port)) then
        return
    end
    socket:send("GET /internal/routing HTTP/1.1\r\nHost: " .. address .. "\r\nConnection: close\r\n\r\n")
    local told = partition.told(socket:receive("*a"))
    socket:close()
    if told and told ~= count then
        core.Info(string.format("partitions: %d, not %d", told, count))
        count = told
    end
    return told
end

core.register_task(function()
    while true do
        for name, backend in pairs(core.backends) do
            backend.name = name
            look(backend)
        end
        core.msleep(LOOK_MS)
    end
end)

core.register_task(function()
    local at = 0
    while #addresses > 0 do
        at = at % #addresses + 1
        core.msleep(ask(addresses[at]) and EVERY_MS or LOOK_MS) -- one that is away costs its turn
    end
end)

core.register_action("partition", { "http-req" }, function(txn)
    local video = partition.video(txn.f:path())
    if video then
        txn:set_var("txn.partition", partition.of(txn.c:url_dec(video), count))
    end
end, 0)

core.register_action("home", { "http-req" }, function(txn, bound)
    local number, known = txn:get_var("txn.partition"), up[txn.f:be_name()]
    if not number or not known then
        return
    end
    if #known.ids == 0 then -- whoever still runs is better than nobody
        txn:set_var("txn.route", "any")
        return
    end
    local ranked = known.ranked[number]
    if not ranked then
        ranked = partition.ranked(number, known.ids)
        known.ranked[number] = ranked
    end
    local under_way = tonumber(txn.f:sc0_conn_cur()) or 1
    local rank = partition.rank(under_way - 1, tonumber(bound), #ranked) -- itself is counted already
    txn:set_var("txn.home", known.names[ranked[rank]])
    txn:set_var("txn.next", known.names[ranked[rank % #ranked + 1]])
    txn:set_var("txn.route", partition.said(number, count, rank))
end, 1)
