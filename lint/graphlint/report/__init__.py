"""What people and other tools read: results, reports, graphs, comparisons."""
