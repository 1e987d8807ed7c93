package fakevertex_test

import (
	"testing"

	"go.uber.org/goleak"
)

// A server owns no goroutine, and a stopped one leaves none of its callers' behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
