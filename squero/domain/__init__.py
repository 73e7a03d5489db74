"""What it means: generations, the catalogue, prices, fairness, the ledger, keys."""
