-- Which partition a video lives in, and which servers are its home. Pure; for HAProxy (Lua 5.3 and later) and for
-- nginx's Lua module (LuaJIT), so written without the operators that only one of them knows.
--
-- Held against schemas/livecomments_schemas/partitions.py and Kafka's own partitioner by tests/infra/test_partition_lua.py.

local M = {}

-- Of a new topic (infra/kafka): what a router takes for true until a process tells it. A wrong count only costs.
M.COUNT = 64

local BYTE, WORD, INTEGER = 256, 65536, 4294967296
local xor = jit and require("bit").bxor or load("local a, b = ... return a ~ b")

-- All numbers are below 2^53, so that doubles, which LuaJIT counts in, hold them.
local function bxor(a, b)
    return xor(a, b) % INTEGER
end

local function mul(a, b)
    local low = a % WORD
    return ((a - low) / WORD * b % WORD * WORD + low * b) % INTEGER
end

local function right(a, by)
    return (a - a % by) / by
end

-- Source: org.apache.kafka.common.utils.Utils.murmur2
local function murmur2(text)
    local m, length = 0x5bd1e995, #text
    local h = bxor(0x9747b28c, length)
    for at = 1, length - 3, 4 do
        local a, b, c, d = text:byte(at, at + 3)
        local k = mul(a + b * BYTE + c * WORD + d * WORD * BYTE, m)
        k = mul(bxor(k, right(k, WORD * BYTE)), m)
        h = bxor(mul(h, m), k)
    end
    local rest = length % 4
    if rest > 0 then
        local a, b, c = text:byte(length - rest + 1, length)
        h = mul(bxor(h, a + (b or 0) * BYTE + (c or 0) * WORD), m)
    end
    h = mul(bxor(h, right(h, 8192)), m)
    return bxor(h, right(h, 32768))
end

local function whole(number)
    return math.floor(number)
end

-- The partition of a video whose id is decoded (%41 is A), in an epoch of `count` partitions.
function M.of(video_id, count)
    return whole(murmur2(video_id) % 2147483648 % count)
end

-- `ids` of the servers that are up, best home first: rendezvous hashing. Whoever leaves moves nobody else's partitions,
-- and whoever comes takes a share of everybody's. An id is a server's place: it keeps it for ever.
function M.ranked(partition, ids)
    local ranked, score = {}, {}
    for i, id in ipairs(ids) do
        ranked[i] = id
        score[id] = murmur2(string.format("%s of %d", id, partition))
    end
    table.sort(ranked, function(a, b)
        if score[a] ~= score[b] then
            return score[a] > score[b]
        end
        return tostring(a) < tostring(b)
    end)
    return ranked
end

-- Which of `up` ranked servers the next one goes to, from 1: the first, unless so many of this very partition are under
-- way that it needs another home for each `bound` of them. Others' load moves nobody.
function M.rank(in_flight, bound, up)
    local homes = math.min(up, 1 + whole(in_flight / bound))
    return whole(in_flight % homes) + 1
end

-- What is said to the server, and counted there (livecomments_routed_requests_total).
function M.said(partition, count, rank)
    return string.format("%d/%d/%d", partition, count, rank)
end

-- The id of the video that a path is of, not decoded; nil if it is of none.
function M.video(path)
    return path:match("^/comments/([^/]+)") or path:match("^/videos/([^/]+)") or path:match("^/streams/([^/]+)")
end

-- The count of partitions in the answer of /internal/routing; nil if it is none.
function M.told(body)
    local count = body and tonumber(body:match('"partitions":%s*(%d+)'))
    return count and count >= 1 and count <= 65536 and count or nil
end

return M
