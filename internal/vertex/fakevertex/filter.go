package fakevertex

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
)

// A predicate selects jobs.
type predicate func(*aiplatformpb.CustomJob) bool

// parseFilter reads the filter of ListCustomJobs:
//
//	filter  = clause { "AND" clause }
//	clause  = factor { "OR" factor }
//	factor  = [ "NOT" ] ( "(" filter ")" | term )
//	term    = "display_name" ( "=" | "!=" | ":" ) value
//	        | "state" ( "=" | "!=" ) quoted
//	        | "create_time" ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) quoted
//	        | "labels." key ( "=" value | ":*" )
//
// A value is a word or a quoted string. After ":" a star in the value of
// display_name stands for any text.
func parseFilter(text string) (predicate, error) {
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	if len(tokens) == 0 {
		return func(*aiplatformpb.CustomJob) bool { return true }, nil
	}
	p := &filterParser{tokens: tokens}
	f, err := p.conjunction()
	if err == nil && !p.done() {
		err = fmt.Errorf("unexpected %q", p.peek().text)
	}
	return f, err
}

type token struct {
	kind rune // 'w' word, 's' quoted string, 'o' operator or parenthesis
	text string
}

func lex(text string) (tokens []token, err error) {
	r := []rune(text)
	for i := 0; i < len(r); {
		c := r[i]
		switch {
		case unicode.IsSpace(c):
			i++
		case c == '"' || c == '\'':
			var b strings.Builder
			for i++; i < len(r) && r[i] != c; i++ {
				if r[i] == '\\' && i+1 < len(r) {
					i++
				}
				b.WriteRune(r[i])
			}
			if i >= len(r) {
				return nil, fmt.Errorf("quoted string is not closed")
			}
			i++
			tokens = append(tokens, token{'s', b.String()})
		case strings.ContainsRune("!<>", c) && i+1 < len(r) && r[i+1] == '=':
			tokens = append(tokens, token{'o', string(r[i : i+2])})
			i += 2
		case strings.ContainsRune("()=<>:", c):
			tokens = append(tokens, token{'o', string(c)})
			i++
		case wordRune(c):
			start := i
			for i < len(r) && wordRune(r[i]) {
				i++
			}
			tokens = append(tokens, token{'w', string(r[start:i])})
		default:
			return nil, fmt.Errorf("unexpected %q", string(c))
		}
	}
	return tokens, nil
}

func wordRune(c rune) bool {
	return unicode.IsLetter(c) || unicode.IsMark(c) || unicode.IsDigit(c) || strings.ContainsRune("_-.*", c)
}

type filterParser struct {
	tokens []token
	at     int
}

func (p *filterParser) done() bool { return p.at >= len(p.tokens) }

func (p *filterParser) peek() token {
	if p.done() {
		return token{}
	}
	return p.tokens[p.at]
}

func (p *filterParser) next() token {
	t := p.peek()
	p.at++
	return t
}

// accept takes the next token if it is that one.
func (p *filterParser) accept(kind rune, text string) bool {
	if p.peek() == (token{kind, text}) {
		p.at++
		return true
	}
	return false
}

func (p *filterParser) conjunction() (predicate, error) {
	left, err := p.disjunction()
	for err == nil && p.accept('w', "AND") {
		var right predicate
		a := left
		right, err = p.disjunction()
		left = func(j *aiplatformpb.CustomJob) bool { return a(j) && right(j) }
	}
	return left, err
}

func (p *filterParser) disjunction() (predicate, error) {
	left, err := p.factor()
	for err == nil && p.accept('w', "OR") {
		var right predicate
		a := left
		right, err = p.factor()
		left = func(j *aiplatformpb.CustomJob) bool { return a(j) || right(j) }
	}
	return left, err
}

func (p *filterParser) factor() (predicate, error) {
	if p.accept('w', "NOT") {
		f, err := p.factor()
		return func(j *aiplatformpb.CustomJob) bool { return !f(j) }, err
	}
	if p.accept('o', "(") {
		f, err := p.conjunction()
		if err == nil && !p.accept('o', ")") {
			err = fmt.Errorf("parenthesis is not closed")
		}
		return f, err
	}
	return p.term()
}

func (p *filterParser) term() (predicate, error) {
	field, op, value := p.next(), p.next(), p.next()
	if field.kind != 'w' || op.kind != 'o' || value.kind != 'w' && value.kind != 's' {
		return nil, fmt.Errorf("expected a comparison at %q", field.text)
	}
	wrong := fmt.Errorf("field %q does not support %s with the value %q", field.text, op.text, value.text)
	negate := op.text == "!="
	key, isLabel := strings.CutPrefix(field.text, "labels.")
	isLabel = isLabel && key != ""
	switch {
	case isLabel && op.text == "=":
		return func(j *aiplatformpb.CustomJob) bool { v, ok := j.Labels[key]; return ok && v == value.text }, nil
	case isLabel && op.text == ":" && value == (token{'w', "*"}):
		return func(j *aiplatformpb.CustomJob) bool { _, ok := j.Labels[key]; return ok }, nil
	case field.text == "display_name" && (op.text == "=" || negate):
		return func(j *aiplatformpb.CustomJob) bool { return (j.DisplayName == value.text) != negate }, nil
	case field.text == "display_name" && op.text == ":":
		return func(j *aiplatformpb.CustomJob) bool { return matchStars(value.text, j.DisplayName) }, nil
	case field.text == "state" && (op.text == "=" || negate) && value.kind == 's':
		n, ok := aiplatformpb.JobState_value[value.text]
		if !ok {
			return nil, fmt.Errorf("%q is not a job state", value.text)
		}
		return func(j *aiplatformpb.CustomJob) bool { return (int32(j.State) == n) != negate }, nil
	case field.text == "create_time" && op.text != ":" && value.kind == 's':
		at, err := time.Parse(time.RFC3339Nano, value.text)
		if err != nil {
			return nil, fmt.Errorf("create_time %q is not in RFC 3339 format", value.text)
		}
		return compareTime(op.text, at)
	}
	return nil, wrong
}

func compareTime(op string, at time.Time) (predicate, error) {
	holds := map[string]func(int) bool{
		"=":  func(c int) bool { return c == 0 },
		"!=": func(c int) bool { return c != 0 },
		"<":  func(c int) bool { return c < 0 },
		"<=": func(c int) bool { return c <= 0 },
		">":  func(c int) bool { return c > 0 },
		">=": func(c int) bool { return c >= 0 },
	}[op]
	if holds == nil {
		return nil, fmt.Errorf("field \"create_time\" does not support %s", op)
	}
	return func(j *aiplatformpb.CustomJob) bool { return holds(j.CreateTime.AsTime().Compare(at)) }, nil
}

// matchStars reports whether text is pattern with some text for every star.
func matchStars(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}
