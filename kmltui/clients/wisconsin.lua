-- SPDX-License-Identifier: GPL-2.0-or-later
--
-- The Wisconsin benchmark as sql-bench runs it, for sysbench 1.0: its tables, phases and 24 statements.
--
--    sysbench [connection options] --loops=N | --seconds=T [--engine=E] [--tables=T] wisconsin.lua wisconsin
--    sysbench [connection options] wisconsin.lua check
--    sysbench [connection options] wisconsin.lua restore
--    sysbench [connection options] [--engine=E] wisconsin.lua load

local ffi = require("ffi")
local bit = require("bit")
local kmltui = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "") .. "kmltui.lua")

sysbench.cmdline.options = {
   loops = { "How often each select is executed", 0 },
   seconds = { "Instead of loops: rounds of the ten selects until this time is over", 0 },
   engine = { "Storage engine of the tables", "MyISAM" },
   tables = { "fresh: made and filled as part of the benchmark, ready: as load has left them", "fresh" },
}

-- Data ----------------------------------------------------------------------------------------------------------

-- Moduli of two, four, ten, twenty, hundred, thousand, twothousand, fivethous, tenthous.
local MODULI = { 2, 4, 10, 20, 100, 1000, 2000, 5000, 10000 }
local MODULI_ONEK = { 2, 4, 10, 20, 10, 100, 200, 500, 1000 }

-- The three large tables contain the same rows.
local TABLES = {
   { name = "onek", rows = 1000, moduli = MODULI_ONEK, seed = 1 },
   { name = "tenk1", rows = 10000, moduli = MODULI, seed = 2 },
   { name = "tenk2", rows = 10000, moduli = MODULI, seed = 2 },
   { name = "Bprime", rows = 10000, moduli = MODULI, seed = 2 },
}

local STRING4 = { "AAAAxx", "HHHHxx", "OOOOxx", "VVVVxx" }

-- A whole number in letters, base 26, the least significant first, padded to six with A.
local function letters(number)
   local text = ""
   while number > 0 do
      text = text .. string.char(65 + number % 26)
      number = math.floor(number / 26)
   end
   return text .. string.rep("A", 6 - #text)
end

-- The literal values of a row, as in an INSERT.
local function row_values(unique1, unique2, moduli)
   local values = { unique1, unique2 }
   for i, modulus in ipairs(moduli) do values[2 + i] = unique1 % modulus end
   local hundred = values[7]
   values[12], values[13] = hundred * 2, hundred * 2 + 1
   return string.format("%s,'%s','%s','%s'", table.concat(values, ","), letters(unique1 % 676), letters(unique2),
                        STRING4[unique2 % 4 + 1])
end

-- The numbers 0 to count - 1 shuffled, the same in every run: Fisher and Yates with Park and Miller's generator.
local function permutation(count, seed)
   local numbers = {}
   for i = 1, count do numbers[i] = i - 1 end
   for i = count, 2, -1 do
      seed = seed * 16807 % 2147483647
      local j = seed % i + 1
      numbers[i], numbers[j] = numbers[j], numbers[i]
   end
   return numbers
end

local COLUMNS = { "unique1", "unique2", "two", "four", "ten", "twenty", "hundred", "thousand", "twothousand",
                  "fivethous", "tenthous", "odd", "even", "stringu1", "stringu2", "string4" }

local INDEXED = { unique1 = true, unique2 = true, hundred = true }

-- Statements ----------------------------------------------------------------------------------------------------

-- All columns of one table, then all of another, named after its alias.
local function columns_of_both(first, second)
   local columns = { first .. ".*" }
   for _, name in ipairs(COLUMNS) do
      columns[#columns + 1] = string.format("%s.%s AS %s%s", second, name, second, name)
   end
   return table.concat(columns, ",")
end

local SELECTS = {
   { 100, "SELECT * FROM tenk1 WHERE unique2 > 301 AND unique2 < 402" },
   { 1000, "SELECT * FROM tenk1 WHERE unique1 > 647 AND unique1 < 1648" },
   { 1, "SELECT * FROM tenk1 WHERE unique2 = 2001" },
   { 100, "SELECT * FROM tenk1 WHERE unique2 > 301 AND unique2 < 402" },
   { 1000, "SELECT " .. columns_of_both("t1", "t2") ..
           " FROM tenk1 t1, tenk1 t2 WHERE t1.unique2 = t2.unique2 AND t2.unique2 < 1000" },
   { 1000, "SELECT " .. columns_of_both("t", "B") .. " FROM tenk1 t, Bprime B WHERE t.unique2 = B.unique2" },
   { 1000, "SELECT " .. columns_of_both("t1", "o") .. " FROM onek o, tenk1 t1, tenk1 t2" ..
           " WHERE o.unique2 = t1.unique2 AND t1.unique2 = t2.unique2 AND t1.unique2 < 1000 AND t2.unique2 < 1000" },
   { 10000, "SELECT two, four, ten, twenty, hundred, string4 FROM tenk1" },
   { 1000, "SELECT * FROM onek" },
   { 1, "SELECT MIN(unique2) AS x FROM tenk1" },
}

-- The rows that are inserted differ only in their keys, and differ from all other rows.
local function insert(unique1, unique2)
   return string.format("INSERT INTO tenk1 (%s) VALUES (%d,%d,0,2,0,10,50,688,1950,4950,9950,1,100,'%s','%s','%s')",
                        table.concat(COLUMNS, ","), unique1, unique2,
                        string.rep("x", 12), string.rep("y", 14), string.rep("z", 14))
end

local function delete(unique2) return "DELETE FROM tenk1 WHERE unique2 = " .. unique2 end

local function update(from, to)
   return string.format("UPDATE tenk1 SET unique2 = %d WHERE unique2 = %d", to, from)
end

local CHANGES = {
   insert(10001, 74001),
   insert(19991, 60001),
   delete(877),
   delete(876),
   update(1491, 10001),
   update(1480, 10023),
   insert(20002, 70002),
   insert(50002, 40002),
   delete(10001),
   delete(900),
   update(187, 10088),
   update(2000, 10003),
   update(1974, 10020),
   update(1140, 16001),
}
local CHANGED = "187,876,877,900,1140,1480,1491,1974,2000"

-- Results -------------------------------------------------------------------------------------------------------

local progress = kmltui.progress
local connection

-- Fetches every row of a result, as the client of a database does, and counts them.
local function count_rows(result)
   local rows = 0
   while ffi.C.db_fetch_row(result) ~= nil do rows = rows + 1 end
   return rows
end

-- The same with a checksum of all values that does not depend on the order of the rows: the sum of the rows' FNV-1a
-- hashes, where each value is followed by a byte that no value contains (0xff), and NULL is the single byte 0xfe.
local function checksum_rows(result)
   local rows, sum = 0, 0ULL
   local prime, basis = 0x100000001b3ULL, 0xcbf29ce484222325ULL
   while true do
      local row = ffi.C.db_fetch_row(result)
      if row == nil then return rows, sum end
      local hash = basis
      for field = 0, result.nfields - 1 do
         local value = row.values[field]
         if value.ptr == nil then
            hash = bit.bxor(hash, 0xfeULL) * prime
         else
            local bytes = ffi.cast("const uint8_t *", value.ptr)
            for i = 0, value.len - 1 do hash = bit.bxor(hash, ffi.cast("uint64_t", bytes[i])) * prime end
         end
         hash = bit.bxor(hash, 0xffULL) * prime
      end
      rows, sum = rows + 1, sum + hash
   end
end

local function expect_rows(what, expected, rows)
   if rows ~= expected then kmltui.fail("%s: %d rows, not %d", what, rows, expected) end
end

local function select(number)
   local expected, text = SELECTS[number][1], SELECTS[number][2]
   local began = kmltui.now_us()
   local result = connection:query(text)
   local rows = count_rows(result)
   result:free()
   expect_rows("statement " .. number, expected, rows)
   kmltui.executed(rows, began)
end

-- How many rows the last statement changed; this query is not part of the benchmark.
local function expect_changed(what, expected)
   expect_rows(what, expected, tonumber((connection:query_row("SELECT ROW_COUNT()"))))
end

-- Phases --------------------------------------------------------------------------------------------------------

local function create_tables()
   for _, t in ipairs(TABLES) do
      local columns = {}
      for i, name in ipairs(COLUMNS) do
         columns[i] = name .. (i <= 13 and " INT" or " CHAR(16)") .. (INDEXED[name] and " NOT NULL" or "")
      end
      connection:query("DROP TABLE IF EXISTS " .. t.name)
      local keys = "UNIQUE (unique1), UNIQUE (unique2), INDEX (hundred)"
      connection:query(string.format("CREATE TABLE %s (%s, %s) ENGINE=%s", t.name, table.concat(columns, ", "), keys,
                                     sysbench.opt.engine))
      kmltui.executed(0)
   end
end

local function insert_rows()
   local total = 0
   for _, t in ipairs(TABLES) do total = total + t.rows end
   kmltui.at("insert", 0, total)
   for _, t in ipairs(TABLES) do
      local unique1 = permutation(t.rows, t.seed)
      for unique2 = 0, t.rows - 1 do
         local values = row_values(unique1[unique2 + 1], unique2, t.moduli)
         local text = string.format("INSERT INTO %s VALUES (%s)", t.name, values)
         progress.loop = progress.loop + 1
         connection:query(text)
         kmltui.executed(0)
      end
      expect_rows(t.name, t.rows, tonumber((connection:query_row("SELECT COUNT(*) FROM " .. t.name))))
   end
end

local function delete_rows()
   connection:query("DELETE FROM Bprime WHERE unique2 >= 1000")
   kmltui.executed(0)
   expect_changed("the delete from Bprime", 9000)
end

-- Reading the counters at each statement's ends is itself work that is measured. It is done where each select is
-- repeated, and not where one loop or a few are to be counted to the instruction.
local COUNTED_FROM_LOOPS = 10
local counted = false

-- Each select repeated before the next begins. Returns the number of executions.
local function selects_by_loops(loops)
   for number = 1, #SELECTS do
      kmltui.at("select", number, loops)
      if counted then kmltui.begin_count() end
      for loop = 1, loops do
         progress.loop = loop
         select(number)
      end
      kmltui.end_count()
   end
   return #SELECTS * loops
end

-- Rounds of the ten selects until the time is over; a round in progress is finished.
local function selects_by_time(seconds)
   local ends = kmltui.ends_after(seconds)
   local round = 0
   kmltui.at("select", 1, 0)
   repeat
      round = round + 1
      for number = 1, #SELECTS do
         progress.statement, progress.loop = number, round
         select(number)
      end
   until kmltui.now_us() >= ends
   return #SELECTS * round
end

local function change_rows()
   for i, text in ipairs(CHANGES) do
      kmltui.at("change", #SELECTS + i, 1)
      progress.loop = 1
      if counted then kmltui.begin_count() end
      local began = kmltui.now_us()
      connection:query(text)
      kmltui.executed(0, began)
      kmltui.end_count()
      expect_changed("statement " .. #SELECTS + i, 1)
   end
end

local function wisconsin()
   local loops, seconds = tonumber(sysbench.opt.loops), tonumber(sysbench.opt.seconds)
   assert((loops > 0) ~= (seconds > 0), "give --loops or --seconds")
   local driver = sysbench.sql.driver()
   connection = driver:connect()
   counted = loops >= COUNTED_FROM_LOOPS
   kmltui.prove_rings(connection)
   kmltui.prove_reads(connection)
   local executed = 0
   if sysbench.opt.tables == "fresh" then
      kmltui.phase("create", function()
         kmltui.at("create", 0, 0)
         create_tables()
      end)
      kmltui.phase("insert", insert_rows)
      kmltui.phase("delete", function()
         kmltui.at("delete", 0, 0)
         delete_rows()
      end)
   end
   kmltui.phase("select", function()
      executed = loops > 0 and selects_by_loops(loops) or selects_by_time(seconds)
   end)
   kmltui.phase("change", change_rows)
   kmltui.done(executed + #CHANGES)
end

-- Makes the tables as the phases before the selects leave them, but with many rows per statement: nothing is measured.
local function load()
   connection = sysbench.sql.driver():connect()
   create_tables()
   for _, t in ipairs(TABLES) do
      local unique1, rows = permutation(t.rows, t.seed), {}
      for unique2 = 0, t.rows - 1 do
         rows[#rows + 1] = "(" .. row_values(unique1[unique2 + 1], unique2, t.moduli) .. ")"
         if #rows == 1000 then
            connection:query(string.format("INSERT INTO %s VALUES %s", t.name, table.concat(rows, ",")))
            rows = {}
         end
      end
   end
   delete_rows()
end

-- Undoes the changes, for another run on the same tables. The original rows are still in tenk2.
local function restore_rows()
   connection:query("DELETE FROM tenk1 WHERE unique1 > 9999 OR unique2 > 9999")
   connection:query("REPLACE INTO tenk1 SELECT * FROM tenk2 WHERE unique2 IN (" .. CHANGED .. ")")
end

local function restore()
   connection = sysbench.sql.driver():connect()
   restore_rows()
   kmltui.done(0)
end

local function checksum(subject, expected, text)
   local result = connection:query(text)
   local rows, sum = checksum_rows(result)
   result:free()
   expect_rows(subject, expected, rows)
   kmltui.send('{"type":"checksum","subject":"%s","rows":%d,"value":"%s"}', subject, rows, bit.tohex(sum))
end

-- Checks the results: the table after the changes, then, with the changes undone, each select once more. Run after the
-- measurement.
local function check()
   connection = sysbench.sql.driver():connect()
   checksum("tenk1 after the changes", 10000, "SELECT * FROM tenk1")
   restore_rows()
   for number, statement in ipairs(SELECTS) do checksum("statement " .. number, statement[1], statement[2]) end
   kmltui.done(#SELECTS)
end

sysbench.cmdline.commands = { wisconsin = { wisconsin }, check = { check }, restore = { restore }, load = { load } }
