// Package berth is a serverless admission controller for Vertex AI persistent
// resources. It registers its three entry points with the functions framework and
// does nothing else; package internal/app opens them.
//
//   - Admit takes requests and cancels from a push subscription.
//   - Reconcile takes ticks, and hints that a job may have changed.
//   - Status answers questions: programs in JSON, browsers with pages.
//
// The entry points are plain HTTP functions. A CloudEvent function would see no
// headers, lose delivery attempt and subscription of a push, take bodies of any
// size, and print bodies it cannot read into the log.
package berth

import (
	"github.com/GoogleCloudPlatform/functions-framework-go/functions"

	"example.com/berth/internal/app"
)

func init() {
	functions.HTTP("Admit", app.Admit)
	functions.HTTP("Reconcile", app.Reconcile)
	functions.HTTP("Status", app.Status)
}
