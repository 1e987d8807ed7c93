// Package scenario reads what a fake Vertex AI begins with and how it behaves from a
// YAML or JSON file, and changes a server that runs, over HTTP.
//
// A scenario has these fields, all optional:
//
//	project, region   of resources that are named by their ids
//	seed              varies ids and what is drawn
//	behaviour         the fields of fakevertex.Behaviour, with a small first letter
//	resources         persistent resources in the form of Vertex AI's REST API
//	jobs              rules for jobs by their display names: fakevertex.JobRule
//	faults            rules for wrong answers: fakevertex.FaultRule
//
// Reading is strict: an unknown field, a wrong word or a number in the place of a time is
// a problem, with its line and its path. All problems of a file are reported together,
// and nothing of a file that has one is applied.
package scenario
