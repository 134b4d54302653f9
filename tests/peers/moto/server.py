"""A simulated AWS with authentication: moto's server, with a bus, a rule and accounts.

Prints one JSON line with its address and keys, and ends when standard input does.
"""

import json
import sys

import boto3
import requests
from moto.core.authorization import ActionAuthenticatorMixin
from moto.server import ThreadedMotoServer

REGION = "eu-central-1"
PATTERN = {"detail": {"subject": ["VmPoweredOnEvent", "VmPoweredOffEvent", "VmRemovedEvent"]}}


BUSES = ("keys", "profile", "role", "web", "forward")


def take_web_identities():
    """AWS takes AssumeRoleWithWebIdentity unsigned; moto's authentication does not know that."""
    check = ActionAuthenticatorMixin._authenticate_and_authorize_action

    def check_others(response, *arguments):
        if response._get_action() != "AssumeRoleWithWebIdentity":
            check(response, *arguments)

    ActionAuthenticatorMixin._authenticate_and_authorize_action = check_others


def allow(*actions):
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def user(iam, name, *actions):
    iam.create_user(UserName=name)
    if actions:
        iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=allow(*actions))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}


def main():
    take_web_identities()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://127.0.0.1:{port}"

    def client(service):
        keys = {"aws_access_key_id": "setup", "aws_secret_access_key": "setup"}
        return boto3.client(service, region_name=REGION, endpoint_url=url, **keys)

    iam, sqs, events = client("iam"), client("sqs"), client("events")
    router = ("events:PutEvents", "events:DescribeRule", "events:ListRules")
    accounts = {
        "admin": user(iam, "admin", "*"),
        "router": user(iam, "router", *router),
        "lister": user(iam, "lister", "events:PutEvents", "events:ListRules"),
        "assumer": user(iam, "assumer", "sts:AssumeRole"),
        "nobody": user(iam, "nobody", "sqs:ListQueues"),
    }
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(
        RoleName="events", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )["Role"]["Arn"]
    iam.put_role_policy(RoleName="events", PolicyName="all", PolicyDocument=allow(*router))

    # What a bus gets, whatever the rule of the router says.
    everything = json.dumps({"source": [{"prefix": ""}]})
    for bus in BUSES:
        queue = sqs.create_queue(QueueName=bus)["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
        events.create_event_bus(Name=bus)
        events.put_rule(Name="everything", EventBusName=bus, EventPattern=everything)
        target = {"Id": "queue", "Arn": attributes["QueueArn"]}
        events.put_targets(Rule="everything", EventBusName=bus, Targets=[target])
    # More than one page of rules before the one that is wanted.
    for number in range(120):
        events.put_rule(Name=f"for{number:03}", EventBusName="forward", EventPattern=everything)
    rule = events.put_rule(Name="forward", EventBusName="forward", EventPattern=json.dumps(PATTERN))["RuleArn"]

    # From now on every request must be signed, and by someone who may.
    requests.post(f"{url}/moto-api/reset-auth", data=b"0", timeout=10).raise_for_status()
    print(json.dumps({"url": url, "accounts": accounts, "role": role, "rule": rule}), flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
