package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/strict"
)

// Bounds on expressions. Costs are in CEL's units, of which about ten million are a second
// of one CPU (Kubernetes sets its bounds by that measure).
const (
	maxExpression = 4096       // bytes
	maxMessage    = 300        // characters of a rule's own message
	mostEstimated = 10_000_000 // of an expression, over every job that there can be
	mostSpent     = 1_000_000  // of all expressions of a tenant, for one job
)

// A rule is one expression over the job.
type rule struct {
	name    string
	message string
	place   strict.Place // of its expression
	compiled
}

// A compiled expression can be evaluated.
type compiled struct {
	program cel.Program
	never   string   // why it allows no job, whatever the job is; "" if it may allow one
	texts   []string // that it compares with
}

var ruleName = lazily(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

const jobType = "google.cloud.aiplatform.v1.CustomJob"

// mostNested is how deep an expression may look through lists within each other: the list of
// worker pools, one in each of them, and one beside it.
const mostNested = 3

// environment is made when the first expression is read, because it takes a few
// milliseconds that a deployment without expressions should not wait for.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Types(&aiplatformpb.CustomJob{}),
		cel.JSONFieldNames(true), // as requests and the documentation of the API write them
		cel.Variable("job", cel.ObjectType(jobType)),
		cel.Variable("tenant", cel.StringType),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateComprehensionNestingLimit(mostNested)),
	)
})

func (p parser) expressions(n *strict.Node, r *Rules) {
	had := map[string]bool{}
	for _, e := range r.rules {
		had[e.name] = true
	}
	p.list(n, "a list of rules", func(item *strict.Node) {
		var e rule
		var expr *strict.Node
		p.object(item, []field{
			{"name", func(n *strict.Node) {
				if s, ok := p.text(n); ok {
					if e.name = s; !ruleName.MatchString(s) {
						p.At(n, reason.InvalidValue, "The name of a rule has 1 to 63 lowercase letters, digits and dashes.", "Write such a name.")
					} else if had[s] {
						p.At(n, reason.DuplicateField, "Another rule that holds for the tenant has this name.", "Choose another name.")
					}
				}
			}},
			{"expr", func(n *strict.Node) { expr = n }},
			{"message", func(n *strict.Node) {
				if s, ok := p.text(n); ok {
					if e.message = s; utf8.RuneCountInString(s) > maxMessage || strings.ContainsFunc(s, strict.Control) {
						p.At(n, reason.InvalidValue, fmt.Sprintf("A message has at most %d characters, none of them a control character.", maxMessage), "Shorten it.")
					}
				}
			}},
		})
		if item.Kind != strict.Object || item.Bad {
			return
		}
		for _, name := range []string{"name", "expr"} {
			if !p.given(item, name) {
				p.Add(item.Missing(name), reason.MissingField, "The rule needs "+name+".", "Add it.")
				return
			}
		}
		had[e.name] = true
		if r.rules = append(r.rules, e); len(r.rules) > MaxRules {
			p.At(n, reason.TooLarge, fmt.Sprintf("More than %d rules hold for the tenant.", MaxRules), "Join some of them with &&.")
			return
		}
		if text, ok := p.text(expr); ok {
			r.rules[len(r.rules)-1].place = expr.Place()
			r.rules[len(r.rules)-1].compiled = p.compile(expr, text)
		}
	})
}

// compile checks an expression. It has no program if compile has reported why it cannot be
// used. Tenants often have the same rules, and a rule takes a millisecond.
func (p parser) compile(n *strict.Node, text string) compiled {
	c, known := p.compiled[text]
	if !known {
		if c.program, c.texts = p.program(n, text); c.program != nil {
			c.never = never(c.program)
			p.compiled[text] = c
		}
	}
	return c
}

func (p parser) program(n *strict.Node, text string) (cel.Program, []string) {
	if len(text) > maxExpression {
		p.At(n, reason.TooLarge, fmt.Sprintf("The expression has %d bytes; at most %d are allowed.", len(text), maxExpression), "Split it into several rules.")
		return nil, nil
	}
	env, err := environment()
	if err != nil {
		panic(fmt.Sprintf("policy: CEL: %v", err)) // its options are those above
	}
	ast, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		first := issues.Errors()[0]
		if strings.Contains(first.Message, "nesting limit") {
			p.At(n, reason.TooLarge, fmt.Sprintf("The expression looks through lists within each other, at line %d, column %d of it deeper than %d.", first.Location.Line(), max(1, first.Location.Column()+1), mostNested),
				fmt.Sprintf("Put all, exists, filter and map within each other at most %d deep.", mostNested))
			return nil, nil
		}
		p.At(n, reason.InvalidValue, fmt.Sprintf("The expression is not CEL, at line %d, column %d of it: %s.", first.Location.Line(), max(1, first.Location.Column()+1), strings.TrimSuffix(strict.Clean(first.Message, 200), ".")),
			"Write an expression over job, a CustomJob with the field names of the API, and tenant. Test with has(job.jobSpec.FIELD) whether a field is set.")
		return nil, nil
	}
	if ast.OutputType().Kind() != types.BoolKind {
		p.At(n, reason.InvalidValue, fmt.Sprintf("The expression is a %s; want true or false.", strict.Clean(cel.FormatCELType(ast.OutputType()), 80)), "Write an expression that is true of the jobs that are allowed.")
		return nil, nil
	}
	found, literal := patternsOf(ast.NativeRep())
	if !literal {
		p.At(n, reason.InvalidValue, "A pattern of matches() is not written out.", "Write it as a text in quotes, so that its cost is known.")
		return nil, nil
	}
	estimate, err := env.EstimateCost(ast, sizes{found})
	if err != nil || estimate.Max > mostEstimated {
		p.At(n, reason.TooLarge, "The expression could take too long on a large job.", "Look through fewer lists within each other, and write patterns with fewer repetitions.")
		return nil, nil
	}
	program, err := env.Program(ast, cel.CostLimit(mostSpent), cel.CostTracking(found), cel.EvalOptions(cel.OptOptimize, cel.OptPartialEval))
	if err != nil {
		p.At(n, reason.InvalidValue, "The expression cannot be planned: "+strict.Clean(err.Error(), 200)+".", "Write it in another way.")
		return nil, nil
	}
	return program, textsOf(ast)
}

// sizes bounds the values of a job for estimates of cost. A job is part of a message of
// [message.MaxData] bytes. So a list of many texts has short ones: the bounds of a list and
// of its texts are such that all of them together are as large as a message, and a rule that
// looks through them once costs about what it can cost.
type sizes struct{ patterns patterns }

// longest are the most entries of lists and maps of a job, by field, in each of at most four
// worker pools.
var longest = map[string]uint64{"workerPoolSpecs": 4, "args": 5000, "command": 5000, "env": 100, "packageUris": 100, "labels": message.MaxLabels + message.OwnLabels}

// EstimateSize implements [cost.Estimator].
func (sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	path := n.Path()
	field := func(name string) bool { return slices.Contains(path, name) }
	size := cost.SizeEstimate{Max: message.MaxData}
	switch n.Type().Kind() {
	case types.ListKind, types.MapKind:
		size.Max = 100
		if len(path) > 0 {
			size.Max = cmp.Or(longest[path[len(path)-1]], size.Max)
		}
	case types.StringKind, types.BytesKind:
		switch {
		case field("args"), field("command"):
			size.Max = 16
		case field("env"), field("packageUris"):
			size.Max = 1024
		case field("labels"):
			size.Max = 128
		}
	default:
		return nil
	}
	return &size
}

// never says why an expression allows no job, whatever the job is; "" if it may allow one.
func never(program cel.Program) string {
	vars, err := cel.PartialVars(map[string]any{}, cel.AttributePattern("job"), cel.AttributePattern("tenant"))
	if err != nil {
		return ""
	}
	switch value, _, err := program.Eval(vars); {
	case err != nil:
		return "cannot be evaluated for any job"
	case value == types.False:
		return "allows no job"
	}
	return ""
}

// checkExpressions returns a problem for each expression that does not allow a job.
func (r *Rules) checkExpressions(job *aiplatformpb.CustomJob, resource string) (found []reason.Problem) {
	if len(r.rules) == 0 {
		return nil
	}
	job = proto.CloneOf(job)
	if job.JobSpec != nil {
		job.JobSpec.PersistentResourceId = resource[strings.LastIndexByte(resource, '/')+1:]
	}
	vars := map[string]any{"job": job, "tenant": r.Tenant}
	var spent uint64
	for _, e := range r.rules {
		var value ref.Val
		var err error
		if spent <= mostSpent {
			var details *cel.EvalDetails
			value, details, err = e.program.Eval(vars)
			if n := details.ActualCost(); n != nil {
				spent += *n
			}
		}
		p := reason.Problem{Code: reason.PolicyRule}
		switch {
		case err == nil && value == types.True:
			continue
		case err == nil && value == types.False:
			p.Detail = fmt.Sprintf("The rule %q of the policy does not allow this job", e.name)
			p.Fix = "Change the job so that the rule allows it, or ask the operators."
		default: // the error may quote the job, and is the same each time
			p.Detail = fmt.Sprintf("The rule %q of the policy cannot be evaluated for this job, so it does not allow it", e.name)
			p.Fix = "Set the fields of the job that the rule reads, and make the job smaller if it is large; or ask the operators to test with has() whether a field is set."
		}
		if e.message != "" {
			p.Detail += ": " + e.message
		} else {
			p.Detail += "."
		}
		found = append(found, p)
	}
	return found
}
