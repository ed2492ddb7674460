-- SPDX-License-Identifier: GPL-2.0-or-later
--
-- Shared by all sysbench scripts of kmltui: messages to the runner, a clock, latencies, the proof of the ring.
--
-- A message is one line: "kmltui " and a JSON object. At the beginning of a phase the script waits until the runner has
-- taken its sample and writes a line to its standard input.

local ffi = require("ffi")

ffi.cdef[[
typedef struct { int64_t tv_sec; int64_t tv_nsec; } kmltui_timespec;
int clock_gettime(int clock, kmltui_timespec *now);
int usleep(unsigned int microseconds);
int kml_ring0_count(int reads);
void kml_mark(void);
int open(const char *path, int flags, ...);
long pread(int file, void *text, size_t size, long offset);
uint64_t article_client_packets(void);
]]

local kmltui = {}

local REPORT_EVERY_US = 500000
local SETTLE_US = 10000
local RING_READS = 100
local RING_LIBRARY = "kml_ring.so"
local PLUGIN_DIR = "/usr/lib/mysql/plugin/"

-- Time ----------------------------------------------------------------------------------------------------------

local CLOCK_MONOTONIC = 1
local timespec = ffi.new("kmltui_timespec")

-- Microseconds as a number: exact in a double for 285 years.
local function now_us()
   ffi.C.clock_gettime(CLOCK_MONOTONIC, timespec)
   return tonumber(timespec.tv_sec) * 1e6 + tonumber(timespec.tv_nsec) / 1e3
end
kmltui.now_us = now_us

-- Messages ------------------------------------------------------------------------------------------------------

-- One write for the whole line: threads share the stream, and only a single write is atomic.
local function send(format, ...)
   io.stdout:write("kmltui " .. string.format(format, ...) .. "\n")
   io.stdout:flush()
end
kmltui.send = send

local function quoted(text)
   return '"' .. tostring(text):gsub('[%c"\\]', function(c) return string.format("\\u%04x", c:byte()) end) .. '"'
end

-- Tells the runner what is wrong and ends the script.
function kmltui.fail(format, ...)
   local message = string.format(format, ...)
   send('{"type":"fail","message":%s}', quoted(message))
   error(message, 0)
end

-- Rings and marks -----------------------------------------------------------------------------------------------

-- The library is absent where nothing was compiled (a plain host): then no ring is reported and no mark is set.
local found, library = pcall(ffi.load, PLUGIN_DIR .. RING_LIBRARY)
local ring = found and library or nil

local function mark()
   if ring then ring.kml_mark() end
end

local function report_ring(subject, ring0)
   send('{"type":"ring","subject":%s,"ring0":%d,"reads":%d}', quoted(subject), ring0, RING_READS)
end

-- Reads the code segment in this process and, through a user-defined function, in the server.
function kmltui.prove_rings(connection)
   if not ring then return end
   report_ring("sysbench", ring.kml_ring0_count(RING_READS))
   connection:query("CREATE OR REPLACE FUNCTION kml_ring0_reads RETURNS INTEGER SONAME '" .. RING_LIBRARY .. "'")
   report_ring("mariadbd", tonumber((connection:query_row("SELECT kml_ring0_reads()"))))
end

-- Reads for each packet --------------------------------------------------------------------------------------------

-- Calls of read() that this thread has made so far, as counted by the kernel, which does not include recv(). (Another
-- thread of the process may be reading something at the same time.)
local function reads_so_far()
   local file = assert(io.open("/proc/thread-self/io", "r"))
   local text = file:read("*a")
   file:close()
   return tonumber(text:match("syscr: (%d+)"))
end

-- If the library that reads as MySQL 4.1's did is loaded: reports how many packets an answer had, and how many calls of
-- read() they took.
function kmltui.prove_reads(connection)
   local loaded, packets_so_far = pcall(function() return ffi.C.article_client_packets end)
   if not loaded then return end
   local begin = reads_so_far()
   local own = reads_so_far() - begin
   local packets, reads = packets_so_far(), reads_so_far()
   connection:query_row("SELECT 1")
   reads = reads_so_far() - reads - own
   send('{"type":"reads","subject":"sysbench","packets":%d,"reads":%d}', tonumber(packets_so_far() - packets), reads)
end

-- Phases --------------------------------------------------------------------------------------------------------

-- Begins a phase as soon as the runner is ready. In exact mode the marks delimit it to the instruction. The waiting is
-- outside the marks, and so must be the rest of what the guest's daemon does to pass on the runner's line, which
-- varies.
function kmltui.begin(name)
   send('{"type":"phase","name":"%s","event":"begin","mono_ns":%.0f}', name, now_us() * 1000)
   if not io.read("*l") then error("the runner is gone", 0) end
   ffi.C.usleep(SETTLE_US)
   mark()
end

function kmltui.finish(name)
   mark()
   send('{"type":"phase","name":"%s","event":"end","mono_ns":%.0f}', name, now_us() * 1000)
end

-- Runs work() as a phase.
function kmltui.phase(name, work)
   kmltui.begin(name)
   work()
   kmltui.finish(name)
end

-- Latencies -----------------------------------------------------------------------------------------------------

-- HdrHistogram's layout with three significant digits: a bucket for each value below 2^11 microseconds, above that 2^10
-- for each power of two, up to 2^32. One histogram per statement, emptied when it is sent.
local BUCKETS = 2048 + 21 * 1024
local histograms = {}

local function record(statement, us)
   local histogram = histograms[statement]
   if not histogram then
      histogram = { counts = ffi.new("uint32_t[?]", BUCKETS), lowest = BUCKETS, highest = -1 }
      histograms[statement] = histogram
   end
   local bucket, shift = math.floor(us), 0
   while bucket >= 2048 do
      bucket = math.floor(bucket / 2)
      shift = shift + 1
   end
   bucket = math.min(bucket + shift * 1024, BUCKETS - 1)
   histogram.counts[bucket] = histogram.counts[bucket] + 1
   if bucket < histogram.lowest then histogram.lowest = bucket end
   if bucket > histogram.highest then histogram.highest = bucket end
end

local function send_latencies()
   for statement, histogram in pairs(histograms) do
      local pairs_of_counts = {}
      for bucket = histogram.lowest, histogram.highest do
         local count = histogram.counts[bucket]
         if count > 0 then
            pairs_of_counts[#pairs_of_counts + 1] = string.format("[%d,%d]", bucket, count)
            histogram.counts[bucket] = 0
         end
      end
      if #pairs_of_counts > 0 then
         send('{"type":"latency","statement":%d,"counts":[%s]}', statement, table.concat(pairs_of_counts, ","))
      end
      histogram.lowest, histogram.highest = BUCKETS, -1
   end
end

-- Statements ----------------------------------------------------------------------------------------------------

-- The script's progress; a script sets the fields that no function here sets. Reported twice a second, regardless of
-- the number of loops, so that reporting costs the same in every session. If a script is bounded by time, `fraction` is
-- the fraction of that time.
local progress = { thread = 0, phase = "", statement = 0, loop = 0, loops = 0, queries = 0, rows = 0 }
kmltui.progress = progress
local next_report = 0
local began, ends

-- The script runs for this long from now, by its own clock; returns the end as a value of now_us().
function kmltui.ends_after(seconds)
   began = now_us()
   ends = began + seconds * 1e6
   return ends
end

local function report(now)
   next_report = now + REPORT_EVERY_US
   send_latencies()
   local fraction = ends and string.format("%.4f", math.min((now - began) / (ends - began), 1)) or "null"
   send('{"type":"progress","thread":%d,"phase":"%s","statement":%d,"loop":%d,"loops":%d,"queries":%d,"rows":%d,' ..
        '"fraction":%s}', progress.thread, progress.phase, progress.statement, progress.loop, progress.loops,
        progress.queries, progress.rows, fraction)
end

function kmltui.report() report(now_us()) end

-- Sets and reports what comes next.
function kmltui.at(phase, statement, loops)
   progress.phase, progress.statement, progress.loop, progress.loops = phase, statement, 0, loops
   report(now_us())
end

-- Counts one execution that returned `rows` rows, or a transaction of several `queries`. With `began`, its latency is
-- also recorded, for the current statement.
function kmltui.executed(rows, began, queries)
   local now = now_us()
   if began then record(progress.statement, now - began) end
   progress.queries = progress.queries + (queries or 1)
   progress.rows = progress.rows + rows
   if now >= next_report then report(now) end
end

-- Calls by statement -----------------------------------------------------------------------------------------------

-- The kernel's counters, if its module is there, in one read of one system call.
local COUNTERS = "/proc/kml/counters"
local COUNTERS_MAX = 65536
local OTHER = -1 -- beyond the table of system calls
local PREAD = 17
local counters = -1
local counters_text
local counting

-- Calls so far, of the whole session, by way and number.
local function calls_so_far()
   local size = tonumber(ffi.C.pread(counters, counters_text, COUNTERS_MAX, 0))
   local calls = { trap = {}, direct = {} }
   for way, number, counts in ffi.string(counters_text, math.max(size, 0)):gmatch("\n(%a+) (%w+) ([^\n]*)") do
      if calls[way] then
         local sum = 0
         for count in counts:gmatch("%d+") do sum = sum + tonumber(count) end
         calls[way][number == "other" and OTHER or tonumber(number)] = sum
      end
   end
   return calls
end

local function difference(after, before)
   local result = {}
   for number, count in pairs(after) do
      local more = count - (before[number] or 0)
      if more > 0 then result[number] = more end
   end
   return result
end

-- From here to end_count() the session's calls are counted as the current statement's. The reading at the end adds one
-- of its own; the two at the beginning tell which way it goes. (The agent, which may come between them, only traps.)
function kmltui.begin_count()
   if not counters_text then
      counters = ffi.C.open(COUNTERS, 0)
      counters_text = ffi.new("char[?]", COUNTERS_MAX)
   end
   if counters < 0 then return end
   local first = calls_so_far()
   local second = calls_so_far()
   local way = difference(second.direct, first.direct)[PREAD] and "direct" or "trap"
   counting = { calls = second, queries = progress.queries, own = { trap = {}, direct = {}, [way] = { [PREAD] = 1 } } }
end

function kmltui.end_count()
   if not counting then return end
   local now, parts = calls_so_far(), {}
   for _, way in ipairs({ "trap", "direct" }) do
      local list = {}
      for number, count in pairs(difference(difference(now[way], counting.calls[way]), counting.own[way])) do
         list[#list + 1] = string.format("[%d,%d]", number, count)
      end
      parts[way] = table.concat(list, ",")
   end
   send('{"type":"calls","statement":%d,"queries":%d,"trap":[%s],"direct":[%s]}', progress.statement,
        progress.queries - counting.queries, parts.trap, parts.direct)
   counting = nil
end

-- Reports the end of the script's work; `statements` is the number of those of the benchmark proper.
function kmltui.done(statements)
   if progress.phase ~= "" then report(now_us()) end
   send('{"type":"done","statements":%d}', statements)
end

return kmltui
