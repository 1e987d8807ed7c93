// Package telemetry says what happens to a request to those who operate Berth and to
// those who published it: by the trace that its log records and its events belong to.
//
// A *trace context* is the number of a trace and that of a span in it. One comes with the
// HTTP request, from Cloud Run; another comes with a message, from its publisher. Both are
// text that a caller chooses.
package telemetry
