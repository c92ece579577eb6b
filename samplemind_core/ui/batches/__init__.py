"""Many files on the Classify page: started, watched, filtered, sorted, corrected, and looked up again."""
