-- SPDX-License-Identifier: GPL-2.0-or-later
--
-- Runs an unmodified sysbench script, and reports its progress, latencies and rings. The environment variable
-- KMLTUI_SCRIPT names the script (by its name if it comes with sysbench, otherwise by its path); KMLTUI_QUERIES is the
-- number of queries in one of its events.
--
-- Every thread has a Lua state of its own, in which this file is loaded; each reports for itself.

local kmltui = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "") .. "kmltui.lua")
local script = os.getenv("KMLTUI_SCRIPT")
if script:find("/") then dofile(script) else require(script) end

local PHASE = "run"
local QUERIES = tonumber(os.getenv("KMLTUI_QUERIES"))

local SECONDS = tonumber(os.getenv("KMLTUI_SECONDS") or 0)

-- If the clock counts instructions: events before the phase, which fill caches. What LuaJIT compiles, and when, depends
-- on its own random numbers, which matters for queries as small as these; so Lua is interpreted then.
local WARM_UP = tonumber(os.getenv("KMLTUI_WARM_UP") or 0)
if WARM_UP > 0 then jit.off() end
local script_init, script_event = thread_init, event

-- The threads begin their work together, after the last of them has been initialised: the first one waits for the
-- runner here, and all others wait for the first.
function thread_init()
   script_init()
   kmltui.progress.thread = sysbench.tid
   for _ = 1, WARM_UP do script_event(sysbench.tid) end
   if sysbench.tid == 0 then
      kmltui.prove_rings(con or sysbench.sql.driver():connect())
      kmltui.begin(PHASE)
   end
   if SECONDS > 0 then kmltui.ends_after(SECONDS) end
   kmltui.at(PHASE, 0, 0)
end

function event(thread_id)
   local began = kmltui.now_us()
   script_event(thread_id)
   kmltui.progress.loop = kmltui.progress.loop + 1
   kmltui.executed(0, began, QUERIES)
end

local script_done = thread_done

function thread_done()
   if script_done then script_done() end
   kmltui.report()
end

function sysbench.hooks.report_cumulative(stat)
   kmltui.finish(PHASE)
   if stat.errors > 0 then print(string.format("%d transactions were restarted after an error", stat.errors)) end
   kmltui.done(stat.reads + stat.writes + stat.other)
end
