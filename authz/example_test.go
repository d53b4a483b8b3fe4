package authz_test

import (
	"fmt"

	"fakessh/authz"
)

func ExampleDecider_Decide() {
	policy, err := authz.ParsePolicy("policy.cedar", []byte(`
		@id("ops") permit (principal in Group::"ops", action, resource in TargetGroup::"prod")
		when { context.account != "root" };`))
	if err != nil {
		fmt.Println(err)
		return
	}
	decider := authz.NewDecider(policy, nil)
	for _, account := range []string{"deploy", "root"} {
		d := decider.Decide(authz.Request{
			Subject: authz.Subject{Principal: "alice", Groups: []string{"ops"}},
			Action:  authz.Shell,
			Target:  "web1",
			Groups:  []string{"prod"},
			Account: account,
		})
		fmt.Println(account, d.Allow, d.Reason)
	}
	// Output:
	// deploy true permitted by ops
	// root false no rule permits it
}
