"""The chart in helm/, rendered by Helm's own engine and looked at as data."""
