"""Whole processes on real servers, and the faults they must survive."""
