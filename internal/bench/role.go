package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"

	"example.com/berth/internal/localstack"
)

// emptyEntry is an entry point of every function process here, beside Berth's own: what
// answers there costs what the framework costs.
const emptyEntry = "Empty"

// functionEnv is set in the processes that are started as a function.
const functionEnv = "BERTH_BENCH_FUNCTION"

// RoleMain is the main of the function processes that a run starts. It returns
// false at once in a process that is none. main, and the TestMain of tests that
// measure, call it first.
func RoleMain() bool {
	if os.Getenv(functionEnv) == "" {
		return false
	}
	err := funcframework.RegisterHTTPFunctionContext(context.Background(), "/"+emptyEntry, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the connection can be kept only then
		w.WriteHeader(http.StatusOK)
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "register /%s: %v\n", emptyEntry, err)
		os.Exit(1)
	}
	return localstack.FunctionMain()
}
