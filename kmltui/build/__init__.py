# SPDX-License-Identifier: GPL-2.0-or-later
"""Making a guest image: packages, the rewritten files, the module, the guest's own programs, the database."""
