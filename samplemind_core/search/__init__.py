"""Hyper-parameter search: which settings to try, what came of them, and the task that tries them.

Optuna proposes and prunes; its journal lies in the workspace's database.
"""
