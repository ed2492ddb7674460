-- SPDX-License-Identifier: GPL-2.0-or-later
--
-- The smallest query there is, again and again: almost nothing but system calls.

local ffi = require("ffi")

sysbench.cmdline.commands = { prepare = { function() end } }

function thread_init()
   con = sysbench.sql.driver():connect()
end

function event()
   local result = con:query("SELECT 1")
   assert(result.nrows == 1 and ffi.C.db_fetch_row(result) ~= nil, "SELECT 1 gave no row")
   result:free()
end

function thread_done()
   con:disconnect()
end
