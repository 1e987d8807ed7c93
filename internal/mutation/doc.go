// Package mutation asks whether the tests would notice a bug: it changes the
// source in one small way at a time, runs the quick tests on each change, and
// reports which changes they let pass.
//
// A [Mutant] is one change of one file, described by the source text before and
// after it, never by a line number, so that the description outlives edits
// elsewhere. [Load] makes all mutants of a package that still compile. A
// [Survey] draws a sample, runs each mutant by an overlay of the go command (the
// checkout is never written to), and counts: killed when a test failed or did
// not end in time, lived when all tests passed. The file of accepted survivors
// names those that may live, each with its reason; they count for neither side.
//
// The operators are in operators.go and statements.go. They stand for the bugs that reach
// production:
//
//   - a condition that always or never holds, or a bound that is off by one
//   - a missing statement, case or list element
//   - an ignored error
//   - a function that returns at once, or a loop that ends after its first round
//   - a wrong constant or state
//   - a setting that the code does not read
//
// The maintained tool of this kind, gremlins (v0.6.0), changes operators only:
// it removes no statement, case, element or error check, reads no settings,
// keeps no list of accepted survivors, and draws no samples. Its tests are those
// of the changed package or of the whole module; here the simulator's tests,
// which judge most packages, come after the package's own.
package mutation
