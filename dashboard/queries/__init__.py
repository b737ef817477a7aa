"""What pages read: each public function asks for a role."""
