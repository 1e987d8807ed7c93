package policy

import (
	"regexp/syntax"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// CEL prices a match by the length of its pattern. A short pattern with repetitions within
// each other becomes a program of thousands of instructions, each of which may be tried for
// each character of the text: so a match is priced by those.

const functionMatches = "matches"

// stepsPerUnit is how many instructions are tried in the time of a unit of cost, 0.1 µs.
const stepsPerUnit = 10

// patterns are the instructions of the patterns of an expression.
type patterns map[string]uint64

// patternsOf returns the patterns of an expression. literal is false if one is not a literal,
// so that a job could choose it.
func patternsOf(a *ast.AST) (found patterns, literal bool) {
	found, literal = patterns{}, true
	ast.PreOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != functionMatches {
			return
		}
		args := e.AsCall().Args()
		pattern := args[len(args)-1]
		if pattern.Kind() != ast.LiteralKind || pattern.AsLiteral().Type() != types.StringType {
			literal = false
			return
		}
		text := string(pattern.AsLiteral().(types.String))
		found[text] = instructions(text)
	}))
	return found, literal
}

// instructions is how many a pattern has; 1 for what is no pattern, which another check
// reports.
func instructions(pattern string) uint64 {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 1
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 1
	}
	return uint64(len(program.Inst))
}

func matchCost(length, instructions uint64) uint64 { return 1 + length*instructions/stepsPerUnit }

// CallCost implements [cost.ActualCostEstimator].
func (p patterns) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	if function != functionMatches || len(args) != 2 {
		return nil
	}
	text, ok := args[0].(types.String)
	pattern, known := args[1].(types.String)
	if !ok || !known {
		return nil
	}
	n := matchCost(uint64(len(text)), max(1, p[string(pattern)]))
	return &n
}

// EstimateCallCost implements [cost.Estimator].
func (s sizes) EstimateCallCost(function, _ string, target *cost.AstNode, args []cost.AstNode) *cost.CallEstimate {
	if function != functionMatches {
		return nil
	}
	all := args
	if target != nil {
		all = append([]cost.AstNode{*target}, args...)
	}
	if len(all) != 2 || all[1].Expr().Kind() != ast.LiteralKind {
		return nil
	}
	pattern, ok := all[1].Expr().AsLiteral().(types.String)
	if !ok {
		return nil
	}
	size := all[0].ComputedSize()
	if size == nil {
		size = s.EstimateSize(all[0])
	}
	if size == nil {
		return nil
	}
	n := s.patterns[string(pattern)]
	return &cost.CallEstimate{CostEstimate: cost.Estimate{Min: 1, Max: matchCost(size.Max, max(1, n))}}
}
