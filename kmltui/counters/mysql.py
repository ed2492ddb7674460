# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of the variables in a MySQL or MariaDB server's SHOW GLOBAL STATUS are kept."""

from __future__ import annotations

from collections.abc import Iterable

from kmltui.model import whole

KEPT: frozenset[str] = frozenset(
    {
        "Aborted_connects",
        "Bytes_received",
        "Bytes_sent",
        "Com_begin",
        "Com_call_procedure",
        "Com_commit",
        "Com_delete",
        "Com_delete_multi",
        "Com_insert",
        "Com_insert_select",
        "Com_replace",
        "Com_rollback",
        "Com_select",
        "Com_stmt_execute",
        "Com_update",
        "Com_update_multi",
        "Created_tmp_disk_tables",
        "Created_tmp_tables",
        "Handler_read_key",
        "Handler_read_next",
        "Handler_read_rnd_next",
        "Innodb_buffer_pool_read_requests",
        "Innodb_buffer_pool_reads",
        "Innodb_data_fsyncs",
        "Innodb_data_reads",
        "Innodb_data_writes",
        "Innodb_log_writes",
        "Innodb_os_log_written",
        "Innodb_row_lock_time",
        "Innodb_row_lock_waits",
        "Innodb_rows_deleted",
        "Innodb_rows_inserted",
        "Innodb_rows_read",
        "Innodb_rows_updated",
        "Key_read_requests",
        "Key_reads",
        "Queries",
        "Questions",
        "Rows_read",
        "Rows_sent",
        "Slow_queries",
        "Threads_connected",
        "Threads_running",
        "Uptime",
    }
)
"""Names of the counters that a recording keeps; a server that lacks one has no entry for it."""


def select_status(rows: Iterable[tuple[object, object]]) -> dict[str, int]:
    """The kept counters from the rows ``(Variable_name, Value)`` of SHOW GLOBAL STATUS.

    Values include what the asking client itself causes. Anything but a whole number that fits in 63 bits is left out:
    absent rather than wrong.
    """
    kept: dict[str, int] = {}
    for name, value in rows:
        key = str(name)
        if key in KEPT and (number := whole(str(value))) is not None:
            kept[key] = number
    return kept
