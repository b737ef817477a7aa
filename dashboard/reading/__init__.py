"""How rows are put together as panels and tables: nothing here asks for a role, nothing here is drawn."""
