"""What an answer says: from the text of a completion to a tree that can be compared exactly."""
