package mutation

// A Step is one run of the go command's tests.
type Step struct {
	Packages []string // below the module's root
	Run      string   // which tests; all of them when it is empty
	Skip     string   // which of those not
}

// A Target is a package that is surveyed, and the steps that may notice a change
// of it: its own tests first, since they are fast, then tests of those that use
// it. The first failure ends a mutant.
type Target struct {
	Package string
	Steps   []Step
}

// Tests that are slow, and judge something else than the behaviour of a package:
// what is uploaded, what imports what.
const structural = "TestBuildpackRehearsal|TestUploadSet|TestDeployedBuildHasNoFakes|TestImports|TestReadme"

var (
	transcripts = Step{Packages: []string{"internal/sim"}, Run: "TestStories|TestOneFault"}
	stories     = Step{Packages: []string{"internal/sim"}, Run: "TestRace|TestSlots|TestFleet|TestCreate|TestAnswers|TestMany|TestLarge|TestOne|TestParked|TestObservation"}
	scenarios   = Step{Packages: []string{"internal/sim"}, Skip: "TestExplore|TestStorm"}
	schedules   = Step{Packages: []string{"internal/sim"}, Run: "TestExplore|TestStorm"}
	entryPoints = Step{Packages: []string{"internal/app"}, Skip: structural + "|TestHostile|TestLargest"}
	hostile     = Step{Packages: []string{"internal/app"}, Run: "TestHostile|TestLargest"}
)

func own(packages ...string) Step { return Step{Packages: packages} }

// Targets are the packages that decide, store, map and answer.
var Targets = []Target{
	{"internal/capacity", []Step{own("internal/capacity", "internal/admission", "internal/message"), transcripts, own("internal/ledger", "internal/statuspage"), stories, scenarios, schedules}},
	{"internal/admission", []Step{own("internal/admission"), transcripts, own("internal/statuspage"), stories, scenarios, entryPoints, schedules}},
	{"internal/lifecycle", []Step{own("internal/lifecycle"), transcripts, stories, scenarios, entryPoints, schedules}},
	{"internal/pace", []Step{own("internal/pace"), own("internal/controller"), transcripts, stories}},
	{"internal/estimate", []Step{own("internal/estimate"), own("internal/replay"), scenarios}},
	{"internal/ledger", []Step{own("internal/ledger/..."), transcripts, own("internal/statuspage", "internal/controller"), stories, scenarios, own("internal/gcp"), own("internal/repair"), schedules}},
	{"internal/controller", []Step{own("internal/controller"), transcripts, stories, scenarios, entryPoints, own("internal/statuspage", "internal/repair"), schedules}},
	{"internal/gcp", []Step{own("internal/gcp")}},
	{"internal/message", []Step{own("internal/message"), transcripts, own("internal/statuspage"), stories, scenarios, entryPoints, hostile}},
	{"internal/strict", []Step{own("internal/strict", "internal/message"), transcripts, hostile}},
	{"internal/statuspage", []Step{own("internal/statuspage"), entryPoints}},
	{"internal/repair", []Step{own("internal/repair")}},
	{"internal/app", []Step{entryPoints, hostile}},
	{"internal/replay", []Step{own("internal/replay")}},
}
