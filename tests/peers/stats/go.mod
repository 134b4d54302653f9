module event-router/tests/peers/stats

go 1.24.0
