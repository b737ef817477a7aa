"""Everything that pages read: each public function asks for a role."""
