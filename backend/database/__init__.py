"""The statements that the ORM cannot express, each under a name, in SQL that PostgreSQL and SQLite understand."""
