package controller

import (
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/telemetry"
)

// said is what a decision says of a request in a word.
func said(rec *ledger.Record) string {
	switch {
	case rec.State == lifecycle.Waiting:
		return "wait"
	case rec.State.Holds():
		return "admit"
	case rec.State == lifecycle.Rejected:
		return "refuse"
	}
	return "end" // a cancel came first, or its wait is over
}

// decided ends the step that decides a request, and was for it.
func (c *Controller) decided(span telemetry.Span, rec *ledger.Record) {
	span.Set(telemetry.KeyVerdict, said(rec))
	span.Set(telemetry.KeyReason, code(rec.Why))
	span.Set(telemetry.KeyState, string(rec.State))
	span.End("")
}
