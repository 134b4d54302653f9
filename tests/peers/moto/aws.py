"""What a person does with the simulated AWS, and how botocore signs.

aws.py received URL ID SECRET BUS     prints all events that the bus has got since the last call,
                                      one JSON line each
aws.py rule URL ID SECRET PATTERN     changes the pattern of the rule of the router
aws.py sign                           prints botocore's signed headers for each request of standard
                                      input, one JSON line each
"""

import datetime
import json
import sys

import boto3
import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

REGION = "eu-central-1"


def client(service, url, key, secret):
    return boto3.client(
        service, region_name=REGION, endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=secret
    )


def received(url, key, secret, bus):
    sqs = client("sqs", url, key, secret)
    queue = sqs.get_queue_url(QueueName=bus)["QueueUrl"]
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            print(json.dumps(json.loads(message["Body"])))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def rule(url, key, secret, pattern):
    client("events", url, key, secret).put_rule(Name="forward", EventBusName="forward", EventPattern=pattern)


def sign():
    # All of it first: who writes to us reads only then.
    for line in sys.stdin.readlines():
        case = json.loads(line)
        time = datetime.datetime.fromtimestamp(case["time"], datetime.timezone.utc)
        botocore.auth.get_current_datetime = lambda *_, **__: time
        credentials = Credentials(case["id"], case["secret"], case["token"])
        request = AWSRequest("POST", case["url"], headers=case["headers"], data=case["body"].encode())
        botocore.auth.SigV4Auth(credentials, case["service"], case["region"]).add_auth(request)
        print(json.dumps({name.lower(): value for name, value in request.headers.items()}))


if __name__ == "__main__":
    {"received": received, "rule": rule, "sign": sign}[sys.argv[1]](*sys.argv[2:])
