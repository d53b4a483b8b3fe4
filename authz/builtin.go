package authz

import (
	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/ast"
)

// LocalTarget is the one target of the built-in policy.
const LocalTarget = "local"

// BuiltinPolicy is in force when there is no configuration file: the principal who started the program may do
// everything on the target "local" as account, the account that the program runs as, and may see the tree.
//
// No other account is granted, and no hop, so root is out of reach. Only when root itself has started the program
// is the account root; that grants nothing new, as the agent of "local" is then root's own process.
func BuiltinPolicy(principal, account string) *Policy {
	set := cedar.NewPolicySet()
	set.Add("builtin:local", cedar.NewPolicyFromAST(ast.Permit().
		PrincipalEq(user(principal)).
		ResourceEq(target(LocalTarget)).
		When(accountIs("").Or(accountIs(account)))))
	set.Add("builtin:own", cedar.NewPolicyFromAST(ast.Permit().
		PrincipalEq(user(principal)).
		ActionInSet(action(Run), action(ShowTree)).
		ResourceEq(target(""))))
	return &Policy{name: "built-in policy", set: set}
}

func accountIs(account string) ast.Node {
	return ast.Context().Access("account").Equal(ast.String(account))
}

func user(principal string) cedar.EntityUID {
	return cedar.NewEntityUID(typeUser, cedar.String(principal))
}

func action(a Action) cedar.EntityUID {
	return cedar.NewEntityUID(typeAction, cedar.String(a))
}

func target(name string) cedar.EntityUID {
	return cedar.NewEntityUID(typeTarget, cedar.String(name))
}
