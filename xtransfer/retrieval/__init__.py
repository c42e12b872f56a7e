"""Search among sentence vectors: exact nearest neighbours (`neighbours`), margins and mining (`margin`)."""
