"""The guarded writes of the read model, as Redis runs them: each compares and writes in one step.

Whatever the order in which things come, and however often, the content ends the same:

- the newest version or step of a thing replaces older ones, never the reverse; equal ones change nothing;
- who stands in an index follows from the newest step alone;
- a capped set keeps its highest members, and a member's score never changes;
- what a guard compares is written last, so a run that broke off is made good by the next.

One run takes many items, packed as one MessagePack list: handing over each value by itself costs the client five
times as much. The keys are made here, so all of them must live on one server.
"""

_PREAMBLE = """
local prefix, ttl, closed_ttl = ARGV[1], ARGV[2], ARGV[3]
local recent_orders, feed_length = tonumber(ARGV[4]), tonumber(ARGV[5])
local items = cmsgpack.unpack(ARGV[6])

local function index(name, member, score, stands)
  local key = prefix .. name
  if stands then redis.call('ZADD', key, score, member) else redis.call('ZREM', key, member) end
  redis.call('PEXPIRE', key, ttl)
end

local function is_newer(first, second, known)
  if not known[1] then return true end
  local ahead = first - tonumber(known[1])
  return ahead > 0 or (ahead == 0 and second > tonumber(known[2]))
end
"""

ORDERS = (
    _PREAMBLE
    + """
for _, order in ipairs(items) do
  local key = prefix .. 'order:' .. order.order_id
  if is_newer(order.version, order.time, redis.call('HMGET', key, 'version', 'time')) then
    if order.created_at then
      local recent = 'customer:' .. order.customer_id .. ':orders'
      index(recent, order.order_id, order.created_at, true)
      redis.call('ZREMRANGEBYRANK', prefix .. recent, 0, -1 - recent_orders)
    end
    redis.call('HSET', key, 'version', order.version, 'time', order.time, 'closed', order.closed,
               'customer_id', order.customer_id, 'fields', order.fields)
    redis.call('PEXPIRE', key, order.closed == 1 and closed_ttl or ttl)
  end
end
"""
)

CONTRACTS = (
    _PREAMBLE
    + """
for _, contract in ipairs(items) do
  local key = prefix .. 'contract:' .. contract.source
  if contract.time > tonumber(redis.call('HGET', key, 'time') or -1) then
    index('contracts', contract.source, 0, true)
    redis.call('HSET', key, 'records', contract.records, 'fields', contract.fields, 'open', contract.open,
               'time', contract.time)
    redis.call('PEXPIRE', key, ttl)
  end
end
"""
)

FEEDBACK = (
    _PREAMBLE
    + """
for _, totals in ipairs(items) do
  local key = prefix .. totals.key
  if totals.number > tonumber(redis.call('HGET', key, 'number') or 0) then
    if totals.key ~= 'capture' then index('precisions', totals.member, 0, true) end
    for name, count in pairs(totals.counts) do redis.call('HSET', key, name, count) end
    redis.call('HSET', key, 'number', totals.number, 'time', totals.time)
    redis.call('PEXPIRE', key, ttl)
  end
end
"""
)

ALERTS = (
    _PREAMBLE
    + """
local function write_step(key, alert, known_orders)
  local resolved = alert.step == 'resolved'
  local function place(name) index(name, alert.episode, alert.opened_at, not resolved) end

  place('alerts:open')
  place('alerts:open:' .. alert.rule)
  for _, order in ipairs(known_orders) do index('order:' .. order .. ':alerts', alert.episode, 0, false) end
  for _, order in ipairs(cjson.decode(alert.orders)) do place('order:' .. order .. ':alerts') end

  if alert.merge then
    local group = prefix .. 'merge:' .. alert.episode
    for name, value in pairs(alert.merge) do redis.call('HSET', group, name, value) end
    redis.call('PEXPIRE', group, resolved and closed_ttl or ttl)
    place('merges:open')
  end
  redis.call('HSET', key, 'step_number', alert.step_number, 'step', alert.step, 'orders', alert.orders,
             'record', alert.record)
  redis.call('PEXPIRE', key, resolved and closed_ttl or ttl)
end

for _, alert in ipairs(items) do
  local key = prefix .. 'alert:' .. alert.episode
  local known = redis.call('HMGET', key, 'step_number', 'acknowledged', 'orders')
  local is_new = alert.step_number > tonumber(known[1] or 0)
  if is_new then write_step(key, alert, cjson.decode(known[3] or '[]')) end
  if is_new or alert.acknowledged > tonumber(known[2]) then
    -- An acknowledgement counts for the whole alert, also when newer steps came before it.
    local acknowledged = math.max(alert.acknowledged, tonumber(known[2] or 0))
    local state = acknowledged > 0 and 'acknowledged' or 'open'
    if redis.call('HGET', key, 'step') == 'resolved' then state = 'resolved' end
    redis.call('HSET', key, 'acknowledged', acknowledged, 'state', state)
  end
end
"""
)

FEED = (
    _PREAMBLE
    + """
local feed, records = prefix .. 'feed', prefix .. 'feed:records'
for _, entry in ipairs(items) do
  redis.call('ZADD', feed, entry.time, entry.id)
  redis.call('HSET', records, entry.id, entry.record)
end
for _, id in ipairs(redis.call('ZRANGE', feed, 0, -1 - feed_length)) do
  redis.call('ZREM', feed, id)
  redis.call('HDEL', records, id)
end
redis.call('PEXPIRE', feed, ttl)
redis.call('PEXPIRE', records, ttl)
"""
)

HOLDS = (
    _PREAMBLE
    + """
for _, hold in ipairs(items) do
  local key = prefix .. 'hold:' .. hold.order_id
  if hold.version > tonumber(redis.call('HGET', key, 'version') or 0) then
    index('holds', hold.order_id, hold.since, hold.status == 'held')
    redis.call('HSET', key, 'version', hold.version, 'status', hold.status, 'record', hold.record)
    -- An order that must not ship is never forgotten: for a gate, no hold means that it may.
    if hold.status == 'released' then redis.call('PEXPIRE', key, closed_ttl) else redis.call('PERSIST', key) end
  end
end
"""
)

# The view is as old as the worker that is furthest behind, so nothing is said before each has said something. After a
# start with another number of workers the former ones' marks say nothing: their key groups went elsewhere.
MARK = (
    _PREAMBLE
    + """
local key = prefix .. 'meta'

local function forget_workers()
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 7) == 'worker:' then redis.call('HDEL', key, field) end
  end
end

local function publish(workers)
  local watermark, updated_at, counts = math.huge, math.huge, {}
  for worker = 0, workers - 1 do
    local entry = redis.call('HGET', key, 'worker:' .. worker)
    if not entry then return end
    entry = cjson.decode(entry)
    watermark, updated_at = math.min(watermark, entry.watermark), math.min(updated_at, entry.updated_at)
    for name, count in pairs(entry.counts) do counts[name] = (counts[name] or 0) + count end
  end
  if not is_newer(watermark, updated_at, redis.call('HMGET', key, 'watermark', 'updated_at')) then return end
  local names, parts = {}, {}
  for name in pairs(counts) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    parts[#parts + 1] = cjson.encode(name) .. ':' .. string.format('%.0f', counts[name])
  end
  redis.call('HSET', key, 'watermark', watermark, 'updated_at', updated_at,
             'counts', '{' .. table.concat(parts, ',') .. '}')
end

for _, mark in ipairs(items) do
  local field = 'worker:' .. mark.worker
  if redis.call('HGET', key, 'workers') ~= tostring(mark.workers) then
    forget_workers()
    redis.call('HSET', key, 'workers', mark.workers)
  end
  local entry, known = cjson.decode(mark.entry), cjson.decode(redis.call('HGET', key, field) or '{}')
  if is_newer(entry.watermark, entry.updated_at, {known.watermark, known.updated_at}) then
    redis.call('HSET', key, field, mark.entry)
    redis.call('PEXPIRE', key, ttl)
    publish(mark.workers)
  end
end
"""
)

SWEEP = (
    _PREAMBLE
    + """
for _, sweep in ipairs(items) do
  local key = prefix .. sweep.index
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', sweep.before, 'LIMIT', 0, sweep.at_once)) do
    if redis.call('EXISTS', prefix .. sweep.entry .. member) == 0 then redis.call('ZREM', key, member) end
  end
end
"""
)

ALL = (ORDERS, CONTRACTS, FEEDBACK, ALERTS, FEED, HOLDS, MARK, SWEEP)
