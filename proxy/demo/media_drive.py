"""Media Drive: the GraphQL surface of the embedded API. The only importer of graphql-core in the sandbox.

The schema is the part of the published one that the official samples use (developer.unleashlive.com, "Media Drive").
"""

from collections.abc import Mapping
from typing import Any

from graphql import ExecutionResult, GraphQLError, build_schema, graphql_sync

from proxy.demo.access import Claims
from proxy.demo.data import FOLDER, USER_ID, Collection, Record

_DEFAULT_LIMIT = 100

_SCHEMA = build_schema(
    '''
    """Milliseconds since 1970."""
    scalar AWSTimestamp
    scalar Long

    enum Sort { asc desc }

    type Metadata {
      size: Long childItemsNumber: Int make: String model: String width: Int height: Int
      gpslat: Float gpslng: Float gpsalt: Float isPanoramic: Boolean duration: Float
    }

    type Item {
      id: String! teamId: String! parentId: String! ownerId: String! tags: String
      "I image, V video, M model, R report, FL flight log, D document, U undefined."
      type: String
      "The ids of the team and the folders above, joined by slashes."
      location: String
      deviceId: String name: String s3Path: String mimeType: String! metadata: Metadata isApproved: Boolean
      createdAt: AWSTimestamp! updatedAt: AWSTimestamp uploadedAt: AWSTimestamp
    }

    "Where the next page begins: to be handed back as it came."
    type NextToken {
      pk: String sk: String locationCreatedAt: String teamId: String teamIdType: String createdAt: AWSTimestamp
      searchNameCreatedAt: String searchName: String deviceId: String type: String
    }
    input NextTokenInput {
      pk: String sk: String locationCreatedAt: String teamId: String teamIdType: String createdAt: AWSTimestamp
      searchNameCreatedAt: String searchName: String deviceId: String type: String
    }

    type Page { items: [Item!]! nextToken: NextToken }
    type Deleted { deleteItems: [Item!]! ownerId: String }
    input ItemInput { id: String! }

    type Query {
      get(item: ItemInput!): Item
      list(sort: Sort = desc, location: String, limit: Int, type: String, nextToken: NextTokenInput): Page!
    }
    type Mutation {
      rename(item: ItemInput!, newName: String!): Item
      move(moveItems: [ItemInput!]!, to: ItemInput!): [Item!]!
      delete(deleteItems: [ItemInput!]!): Deleted!
    }
    '''
)


class MediaDrive:
    """The resolvers, over `items`, which mutations change. A caller sees the items of the own team."""

    def __init__(self, items: Collection) -> None:
        self._items = items

    def execute(self, body: object, claims: Claims) -> dict[str, Any] | None:
        """The answer to a GraphQL request body, already parsed from JSON; None where it is no such request."""
        if not isinstance(body, Mapping) or not isinstance(body.get("query"), str):
            return None
        variables, operation = body.get("variables"), body.get("operationName")
        result = graphql_sync(
            _SCHEMA,
            body["query"],
            root_value={
                "get": self.get,
                "list": self.list_page,
                "rename": self.rename,
                "move": self.move,
                "delete": self.delete,
            },
            context_value=claims,
            variable_values=dict(variables) if isinstance(variables, Mapping) else None,
            operation_name=operation if isinstance(operation, str) else None,
        )
        return _formatted(result)

    def get(self, info: Any, item: Record) -> Record | None:
        return self._visible(info).get(item["id"])

    def list_page(
        self,
        info: Any,
        *,
        sort: str,
        location: str | None = None,
        limit: int | None = None,
        type: str | None = None,  # noqa: A002 - the argument's name in the schema
        nextToken: Record | None = None,  # noqa: N803 - likewise
    ) -> Record:
        team = info.context["custom:teamId"]
        place = location.replace("#", "/") if location else team
        found = [
            item
            for item in self._visible(info).values()
            if item["location"] == place and (type is None or item["type"] == type)
        ]
        found.sort(key=lambda item: (item["createdAt"], item["id"]), reverse=sort == "desc")
        start = 0
        if nextToken is not None:
            start = next((n + 1 for n, item in enumerate(found) if item["id"] == nextToken.get("sk")), len(found))
        end = start + max(1, limit or _DEFAULT_LIMIT)
        return {"items": found[start:end], "nextToken": _token(found[end - 1]) if end < len(found) else None}

    def rename(self, info: Any, item: Record, newName: str) -> Record:  # noqa: N803 - the schema's name
        found = self._one(info, item)
        found["name"] = newName
        return found

    def move(self, info: Any, moveItems: list[Record], to: Record) -> list[Record]:  # noqa: N803 - the schema's name
        if to["id"] == info.context["custom:teamId"]:
            place = to["id"]
        else:
            folder = self._one(info, to)
            if folder["mimeType"] != FOLDER:
                raise _error(f"{to['id']} is not a folder", "BadRequestException")
            place = _inside(folder)
        moved = [self._one(info, item) for item in moveItems]
        for item in moved:
            if f"{place}/".startswith(f"{_inside(item)}/"):
                raise _error(f"{item['id']} cannot be moved into itself", "BadRequestException")
            old = _inside(item)
            item.update(parentId=to["id"], location=place)
            for child in self._items.values():
                if f"{child['location']}/".startswith(f"{old}/"):
                    child["location"] = _inside(item) + child["location"][len(old) :]
        return moved

    def delete(self, info: Any, deleteItems: list[Record]) -> Record:  # noqa: N803 - the schema's name
        deleted = [self._one(info, item) for item in deleteItems]
        for item in deleted:
            for child in list(self._items.values()):
                if f"{child['location']}/".startswith(f"{_inside(item)}/"):
                    del self._items[child["id"]]
            self._items.pop(item["id"], None)
        return {"deleteItems": deleted, "ownerId": USER_ID}

    def _visible(self, info: Any) -> Collection:
        team = info.context["custom:teamId"]
        return {key: item for key, item in self._items.items() if item["teamId"] == team}

    def _one(self, info: Any, item: Record) -> Record:
        found = self._visible(info).get(item["id"])
        if found is None:
            raise _error(f"Item {item['id']} does not exist", "NotFoundException")
        return found


def _inside(folder: Record) -> str:
    """The location of what lies in `folder`."""
    return f"{folder['location']}/{folder['id']}"


def _token(last: Record) -> Record:
    return {
        "pk": last["teamId"],
        "sk": last["id"],
        "locationCreatedAt": f"{last['location']}#{last['createdAt']}",
        "teamId": last["teamId"],
        "createdAt": last["createdAt"],
        "type": last["type"],
    }


def _error(message: str, kind: str) -> GraphQLError:
    return GraphQLError(message, extensions={"errorType": kind})


def _formatted(result: ExecutionResult) -> dict[str, Any]:
    """AppSync's shape: the kind of an error beside its message."""
    errors = [
        {"errorType": (error.extensions or {}).get("errorType", "ValidationError"), **error.formatted}
        for error in result.errors or ()
    ]
    return {"data": result.data, "errors": errors} if errors else {"data": result.data}
