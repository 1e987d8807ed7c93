// Package telemetry says what happens to a request to those who operate Berth and to
// those who published it: by the trace that its log records, its spans and its events
// belong to, and by counts.
//
// A *trace context* is the number of a trace and that of a span in it. One comes with the
// HTTP request, from Cloud Run; another comes with a message, from its publisher. Both are
// text that a caller chooses. A record in the ledger keeps the one of its request, so the
// spans of a later tick, on another instance, belong to the same trace.
//
// A [Recorder] makes the spans and keeps the counts, through the API of OpenTelemetry. A
// deployment without a collector has none: every method of a nil *Recorder does nothing,
// and allocates nothing. Package export sends what a Recorder has to a collector.
//
// Spans and counts are read by more people than requests are. So their names are fixed,
// and a value is a word of the code that writes it: a state, a code of a reason, a kind of
// error. No text of a user gets into one, and no text of Vertex AI, which may quote one.
package telemetry
